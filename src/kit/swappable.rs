//! A service that stays while the one it forwards to is replaced. A call goes to the one that is there when it comes.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use parking_lot::RwLock;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;
use warp::filters::BoxedFilter;
use warp::http::Request;
use warp::reply::Response;

/// Cheap to clone; all clones forward to the same service.
#[derive(Clone)]
pub struct SwappableService(Arc<RwLock<BoxedFilter<(Response,)>>>);

impl SwappableService {
    pub fn new(behind: BoxedFilter<(Response,)>) -> SwappableService {
        SwappableService(Arc::new(RwLock::new(behind)))
    }

    /// Forwards to another service from now on. Calls in flight stay with the one before.
    pub fn swap(&self, behind: BoxedFilter<(Response,)>) {
        *self.0.write() = behind;
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
        let behind = self.0.read().clone();
        warp::service(behind).call(request).boxed()
    }
}
