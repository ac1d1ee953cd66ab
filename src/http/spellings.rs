//! From the spelling of a caller to the number under which something is stored.

use crate::actors::api::ServiceError;
use crate::actors::service::Service;
use crate::domain::ids::{BlockNo, CarNo, CustomerNo, PaymentNo, RentalNo, ReservationNo};
use crate::kit::numbers::{Number, RawNumber};
use crate::kit::problem::Problem;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

/// Whether something of a number exists.
pub type Known<'a> = BoxFuture<'a, Result<bool, ServiceError>>;

/// A number under which something can be stored.
pub trait Stored: Number {
    /// Whether something is stored under it, in this very spelling.
    fn is_known<'a>(&'a self, service: &'a Service) -> Known<'a>;
}

macro_rules! stored {
    ($($type:ty = $is_known:expr;)*) => {$(
        impl Stored for $type {
            fn is_known<'a>(&'a self, service: &'a Service) -> Known<'a> {
                let is_known: fn(&'a Service, &'a $type) -> Known<'a> = $is_known;
                is_known(service, self)
            }
        }
    )*};
}

stored! {
    CarNo = |service, no| service.knows_car(no).boxed();
    CustomerNo = |service, no| service.knows_customer(no).boxed();
    ReservationNo = |service, no| service.knows_reservation(no).boxed();
    PaymentNo = |service, no| of_reservation(service, no.reservation());
    RentalNo = |service, no| of_reservation(service, no.reservation());
    // The service makes the numbers of blocks, so they have only one spelling.
    BlockNo = |_, _| ready(Ok(false)).boxed();
}

fn of_reservation(service: &Service, no: Option<ReservationNo>) -> Known<'_> {
    async move {
        match no {
            Some(no) => service.knows_reservation(&no).await,
            None => Ok(false),
        }
    }
    .boxed()
}

impl<N: Stored> RawNumber<N> {
    /// The spelling under which something is stored, or else NFC. When an older version has stored two things under two
    /// spellings, each spelling finds its own.
    ///
    /// # Errors
    /// When it is no number, or what is kept cannot be read.
    pub async fn resolve(self, service: &Service) -> Result<N, Problem> {
        match self.known(service).await? {
            Some(known) => Ok(known),
            None => self.composed,
        }
    }

    /// The first spelling under which something is stored; looked up only if there is more than one.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub async fn known(&self, service: &Service) -> Result<Option<N>, ServiceError> {
        for spelling in &self.spellings {
            if spelling.is_known(service).await? {
                return Ok(Some(spelling.clone()));
            }
        }
        Ok(None)
    }
}
