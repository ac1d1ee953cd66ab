//! The door that stays while what is behind it is put together anew. A call goes to what is behind it when it comes.
//! Knows nothing of what is asked.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use tower_service::Service;
use warp::filters::BoxedFilter;
use warp::http::Request;
use warp::reply::Response;

/// See the module. Cheap to clone; all clones lead to the same.
#[derive(Clone)]
pub struct SwappableService(Arc<RwLock<BoxedFilter<(Response,)>>>);

impl SwappableService {
    /// A door with this behind it.
    pub fn new(behind: BoxedFilter<(Response,)>) -> SwappableService {
        SwappableService(Arc::new(RwLock::new(behind)))
    }

    /// Puts something else behind it. Calls under way stay where they are.
    pub fn swap(&self, behind: BoxedFilter<(Response,)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = behind;
    }
}

impl Service<Request<Incoming>> for SwappableService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let behind = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        warp::service(behind).call(request).boxed()
    }
}
