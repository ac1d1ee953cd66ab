//! The one table of routes: which calls there are and who may make them. Decides nothing about a single object;
//! whether somebody owns what they ask for is not known here.

use super::problem::Problem;
use warp::http::{HeaderMap, Method};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everybody.
    Public,
    /// The customer whom it is about, and staff.
    Owner,
    /// Staff.
    Admin,
    /// Those who operate the service.
    Ops,
}

/// What a route does with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyRule {
    /// It is thrown away.
    Ignored,
    /// It is read as JSON if there is one.
    Optional,
    /// There must be one, and it is JSON.
    Required,
}

/// How urgent a call is while more is asked than can be answered, the most urgent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Lists and pages, which can be looked at later.
    List,
    /// Searching, and looking at a single thing.
    Look,
    /// What begins business: it needs room in the store and keeps the service busy for longer.
    Begin,
    /// What goes on with business that exists: paying, cancelling, handing over, taking back.
    Settle,
    /// What operators and machines need in order to help.
    Operate,
}

impl Priority {
    /// After how many classes it is its turn to be turned away; never for who operates the service.
    pub const fn shed_rank(self) -> Option<u32> {
        match self {
            Priority::List => Some(0),
            Priority::Look => Some(1),
            Priority::Begin => Some(2),
            Priority::Settle => Some(3),
            Priority::Operate => None,
        }
    }

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::List => "list",
            Priority::Look => "read",
            Priority::Begin => "create",
            Priority::Settle => "existing",
            Priority::Operate => "operations",
        }
    }
}

/// A call that can be made.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for a segment that varies.
    pub template: &'static str,
    /// Who may.
    pub access: Access,
    /// The operation's name, as in the interface description.
    pub name: &'static str,
    /// What becomes of the body.
    pub body: BodyRule,
    /// Whether the caller may name the call with an `Idempotency-Key`.
    pub keyed: bool,
    /// How urgent it is.
    pub priority: Priority,
}

impl Route {
    /// A reading call.
    pub const fn get(template: &'static str, access: Access, name: &'static str) -> Route {
        let priority = Priority::Look;
        Route { method: Method::GET, template, access, name, body: BodyRule::Ignored, keyed: false, priority }
    }

    /// A changing call with a body that is named by an `Idempotency-Key`.
    pub const fn post(template: &'static str, access: Access, name: &'static str) -> Route {
        let priority = Priority::Settle;
        Route { method: Method::POST, template, access, name, body: BodyRule::Required, keyed: true, priority }
    }

    /// The same as [`Route::post`], but the body may be missing.
    pub const fn post_bare(template: &'static str, access: Access, name: &'static str) -> Route {
        let priority = Priority::Settle;
        Route { method: Method::POST, template, access, name, body: BodyRule::Optional, keyed: true, priority }
    }

    /// A call that amends.
    pub const fn patch(template: &'static str, access: Access, name: &'static str) -> Route {
        let priority = Priority::Settle;
        Route { method: Method::PATCH, template, access, name, body: BodyRule::Required, keyed: false, priority }
    }

    /// A call that sets.
    pub const fn put(template: &'static str, access: Access, name: &'static str) -> Route {
        let priority = Priority::Settle;
        Route { method: Method::PUT, template, access, name, body: BodyRule::Required, keyed: false, priority }
    }

    /// A call that removes.
    pub const fn delete(template: &'static str, access: Access, name: &'static str) -> Route {
        let priority = Priority::Settle;
        Route { method: Method::DELETE, template, access, name, body: BodyRule::Ignored, keyed: false, priority }
    }

    /// The same call, of another priority.
    #[must_use]
    pub const fn of(mut self, priority: Priority) -> Route {
        self.priority = priority;
        self
    }

    /// Whether it answers calls of this method: `HEAD` is `GET` without the body.
    pub fn answers(&self, method: &Method) -> bool {
        self.method == *method || (self.method == Method::GET && *method == Method::HEAD)
    }

    /// Whether it begins business that the store must keep room for, as against going on with what was begun.
    pub fn begins_business(&self) -> bool {
        self.priority == Priority::Begin
    }

    /// Whether it changes nothing.
    pub fn is_safe(&self) -> bool {
        self.method == Method::GET
    }
}

/// Whether the caller of a route may call it. There are no credentials yet, so everybody may.
///
/// # Errors
/// What the caller is told otherwise.
pub const fn admit(access: Access, _headers: &HeaderMap) -> Result<(), Problem> {
    match access {
        Access::Public | Access::Owner | Access::Admin | Access::Ops => Ok(()),
    }
}

macro_rules! routes {
    ($($(#[$doc:meta])* $id:ident = $route:expr;)*) => {
        $($(#[$doc])* pub static $id: Route = $route;)*
        /// Every call of the native surface and of operation.
        pub static TABLE: &[&Route] = &[$(&$id),*];
    };
}

routes! {
    /// Hold a car, and pay for it.
    RESERVE = Route::post("/v1/reservations", Access::Owner, "reserve").of(Priority::Begin);
    /// Which cars are free.
    AVAILABILITY = Route::get("/v1/availability", Access::Public, "findAvailableCars");
    /// A reservation.
    RESERVATION = Route::get("/v1/reservations/{reservationNo}", Access::Owner, "getReservation");
    /// A customer's reservations.
    RESERVATIONS = Route::get("/v1/reservations", Access::Owner, "listReservations").of(Priority::List);
    /// Pay later.
    PAY = Route::post("/v1/reservations/{reservationNo}/payment", Access::Owner, "payReservation");
    /// What cancelling would cost.
    CANCELLATION =
        Route::get("/v1/reservations/{reservationNo}/cancellation", Access::Owner, "previewCancellation");
    /// Cancel.
    CANCEL =
        Route::post_bare("/v1/reservations/{reservationNo}/cancellation", Access::Owner, "cancelReservation");
    /// A car.
    CAR = Route::get("/v1/cars/{carNo}", Access::Public, "getCar");
    /// All cars.
    CARS = Route::get("/v1/cars", Access::Public, "listCars").of(Priority::List);
    /// Add a car.
    REGISTER_CAR = Route::post("/v1/cars", Access::Admin, "registerCar").of(Priority::Begin);
    /// Change what is said of a car.
    AMEND_CAR = Route::patch("/v1/cars/{carNo}", Access::Admin, "amendCar");
    /// Take a car out of the fleet.
    RETIRE_CAR = Route::delete("/v1/cars/{carNo}", Access::Admin, "retireCar");
    /// Keep a car from being booked.
    BLOCK_CAR = Route::post("/v1/cars/{carNo}/blocks", Access::Admin, "blockCar").of(Priority::Begin);
    /// End that.
    UNBLOCK_CAR = Route::delete("/v1/cars/{carNo}/blocks/{blockNo}", Access::Admin, "unblockCar");
    /// A payment.
    PAYMENT = Route::get("/v1/payments/{paymentNo}", Access::Owner, "getPayment");
    /// A rental.
    RENTAL = Route::get("/v1/rentals/{rentalNo}", Access::Owner, "getRental");
    /// Hand a car over.
    PICK_UP = Route::post_bare("/v1/rentals/{rentalNo}/pickup", Access::Admin, "pickUpCar");
    /// Take a car back.
    RETURN_CAR = Route::post_bare("/v1/rentals/{rentalNo}/return", Access::Admin, "returnCar");
    /// Become a customer.
    REGISTER_CUSTOMER = Route::post("/v1/customers", Access::Owner, "registerCustomer").of(Priority::Begin);
    /// A customer's personal data.
    CUSTOMER = Route::get("/v1/customers/{customerNo}", Access::Owner, "getCustomer");
    /// Erase it.
    ERASE_CUSTOMER = Route::delete("/v1/customers/{customerNo}", Access::Owner, "eraseCustomer");
    /// My Page.
    MY_PAGE = Route::get("/v1/customers/{customerNo}/page", Access::Owner, "getMyPage").of(Priority::List);
    /// My Page, live.
    EVENTS = Route::get("/v1/customers/{customerNo}/events", Access::Owner, "followEvents").of(Priority::List);
    /// The fleet's ledger.
    LEDGER = Route::get("/v1/fleet/ledger", Access::Admin, "getFleetLedger").of(Priority::List);
    /// The state of bulkhead and breaker.
    PAYMENT_GUARD = Route::get("/v1/admin/payment", Access::Ops, "getPaymentGuard").of(Priority::Operate);
    /// Our payments compared with the provider's record.
    RECONCILIATION =
        Route::get("/v1/admin/payment/reconciliation", Access::Ops, "reconcilePayments").of(Priority::Operate);
    /// Force the breaker.
    FORCE_BREAKER = Route::post("/v1/admin/payment/breaker", Access::Ops, "forceBreaker").of(Priority::Operate);
    /// An archive of everything.
    BACKUP = Route::get("/v1/admin/backup", Access::Ops, "backUp").of(Priority::Operate);
    /// Make something fail.
    FAULT = Route::post("/v1/admin/faults", Access::Ops, "injectFault").of(Priority::Operate);
    /// How the service is.
    HEALTH = Route::get("/actuator/health", Access::Public, "getHealth").of(Priority::Operate);
    /// Whether the process lives.
    LIVENESS = Route::get("/actuator/health/liveness", Access::Public, "getLiveness").of(Priority::Operate);
    /// Whether requests should be sent here.
    READINESS = Route::get("/actuator/health/readiness", Access::Public, "getReadiness").of(Priority::Operate);
    /// What is measured.
    METRICS = Route::get("/metrics", Access::Ops, "getMetrics").of(Priority::Operate);
    /// The interface description.
    OPENAPI = Route::get("/openapi.json", Access::Public, "getInterfaceDescription");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_routes_share_a_name_or_a_call() {
        let names: HashSet<_> = TABLE.iter().map(|route| route.name).collect();
        let calls: HashSet<_> = TABLE.iter().map(|route| (&route.method, route.template)).collect();
        assert_eq!((names.len(), calls.len()), (TABLE.len(), TABLE.len()));
    }

    #[test]
    fn every_native_post_can_be_named_by_its_caller() {
        assert!(TABLE.iter().all(|route| (route.method == Method::POST) == route.keyed));
    }
}
