//! From the spelling of a caller to the number under which something is stored.

use crate::actors::api::{Caller, ServiceError};
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
    /// Whether something that the caller may see is stored under it, in this very spelling.
    fn is_known<'a>(&'a self, service: &'a Service, caller: &'a Caller) -> Known<'a>;
}

macro_rules! stored {
    ($($type:ty = $is_known:expr;)*) => {$(
        impl Stored for $type {
            fn is_known<'a>(&'a self, service: &'a Service, caller: &'a Caller) -> Known<'a> {
                let is_known: fn(&'a Service, &'a Caller, &'a $type) -> Known<'a> = $is_known;
                is_known(service, caller, self)
            }
        }
    )*};
}

stored! {
    CarNo = |service, _, no| service.knows_car(no).boxed();
    CustomerNo = |service, caller, no| service.knows_customer(caller, no).boxed();
    ReservationNo = |service, caller, no| service.knows_reservation(caller, no).boxed();
    PaymentNo = |service, caller, no| of_reservation(service, caller, no.reservation());
    RentalNo = |service, caller, no| of_reservation(service, caller, no.reservation());
    // The service makes the numbers of blocks, so they have only one spelling.
    BlockNo = |_, _, _| ready(Ok(false)).boxed();
}

fn of_reservation<'a>(service: &'a Service, caller: &'a Caller, no: Option<ReservationNo>) -> Known<'a> {
    async move {
        match no {
            Some(no) => service.knows_reservation(caller, &no).await,
            None => Ok(false),
        }
    }
    .boxed()
}

impl<N: Stored> RawNumber<N> {
    /// The spelling under which something is stored that the caller may see, or else NFC. When an older version has stored two things under two
    /// spellings, each spelling finds its own.
    ///
    /// # Errors
    /// When it is no number, or what is kept cannot be read.
    pub async fn resolve(self, service: &Service, caller: &Caller) -> Result<N, Problem> {
        match self.known(service, caller).await? {
            Some(known) => Ok(known),
            None => self.composed,
        }
    }

    /// The first spelling under which something is stored; looked up only if there is more than one.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub async fn known(&self, service: &Service, caller: &Caller) -> Result<Option<N>, ServiceError> {
        for spelling in &self.spellings {
            if spelling.is_known(service, caller).await? {
                return Ok(Some(spelling.clone()));
            }
        }
        Ok(None)
    }
}
