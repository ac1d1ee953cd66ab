//! The one table of routes: which calls there are and who may make them. Decides nothing about a single object;
//! whether somebody owns what they ask for is not known here.

use super::problem::Problem;
use warp::http::{HeaderMap, Method};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    Public,
    /// The customer whom it is about, and staff.
    Owner,
    Admin,
    Ops,
}

/// What a route does with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyRule {
    /// It is read and discarded.
    Ignored,
    /// It is read as JSON if there is one.
    Optional,
    /// There must be one, and it is JSON.
    Required,
    /// It is read whatever its media type says, and may be empty.
    AnyType,
}

/// The class of a call in an overload, the most urgent last: the first classes are shed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Lists and pages.
    List,
    /// Searches, and reading a single thing.
    Read,
    /// New business: it needs room in the store and leads to further calls.
    Create,
    /// Existing business: paying, cancelling, pick-up, return.
    Existing,
    /// Calls of operators and of monitoring.
    Operations,
}

impl Priority {
    /// How many classes are shed before this one; `None` for what operators need, which is never shed.
    pub const fn shed_rank(self) -> Option<u32> {
        match self {
            Priority::List => Some(0),
            Priority::Read => Some(1),
            Priority::Create => Some(2),
            Priority::Existing => Some(3),
            Priority::Operations => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Priority::List => "list",
            Priority::Read => "read",
            Priority::Create => "create",
            Priority::Existing => "existing",
            Priority::Operations => "operations",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub method: Method,
    /// The path, with `{name}` for a segment that varies.
    pub template: &'static str,
    pub access: Access,
    /// The operation's name, as in the interface description.
    pub name: &'static str,
    pub body: BodyRule,
    /// Whether an `Idempotency-Key` is read.
    pub keyed: bool,
    /// Whether it changes what is stored.
    pub stored: bool,
    pub priority: Priority,
}

impl Route {
    const fn new(method: Method, template: &'static str, access: Access, name: &'static str) -> Route {
        let (body, priority) = (BodyRule::Required, Priority::Existing);
        Route { method, template, access, name, body, keyed: false, stored: true, priority }
    }

    pub const fn get(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::GET, template, access, name).reading(BodyRule::Ignored).unstored().of(Priority::Read)
    }

    /// With a body, and an `Idempotency-Key` if the caller sends one.
    pub const fn post(template: &'static str, access: Access, name: &'static str) -> Route {
        let mut route = Route::new(Method::POST, template, access, name);
        route.keyed = true;
        route
    }

    /// As [`Route::post`], but the body may be missing.
    pub const fn post_bare(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::post(template, access, name).reading(BodyRule::Optional)
    }

    pub const fn patch(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::PATCH, template, access, name)
    }

    pub const fn put(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::PUT, template, access, name)
    }

    pub const fn delete(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::DELETE, template, access, name).reading(BodyRule::Ignored)
    }

    #[must_use]
    pub const fn reading(mut self, body: BodyRule) -> Route {
        self.body = body;
        self
    }

    #[must_use]
    pub const fn unkeyed(mut self) -> Route {
        self.keyed = false;
        self
    }

    /// It changes nothing that is stored, so it is carried out while the journal takes no changes, too.
    #[must_use]
    pub const fn unstored(mut self) -> Route {
        self.stored = false;
        self
    }

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
    pub fn creates_business(&self) -> bool {
        self.priority == Priority::Create
    }

    /// Whether it is safe in the sense of RFC 9110: it changes nothing.
    pub fn is_safe(&self) -> bool {
        self.method == Method::GET
    }
}

/// Whether the caller of a route may call it. There are no credentials yet, so everybody may.
///
/// # Errors
/// None yet.
pub const fn admit(access: Access, _headers: &HeaderMap) -> Result<(), Problem> {
    match access {
        Access::Public | Access::Owner | Access::Admin | Access::Ops => Ok(()),
    }
}

macro_rules! routes {
    ($($(#[$doc:meta])* $id:ident = $route:expr;)*) => {
        $($(#[$doc])* pub static $id: Route = $route;)*
        /// Every route but those of the legacy API.
        pub static TABLE: &[&Route] = &[$(&$id),*];
    };
}

routes! {
    RESERVE = Route::post("/v1/reservations", Access::Owner, "reserve").of(Priority::Create);
    AVAILABILITY = Route::get("/v1/availability", Access::Public, "findAvailableCars");
    RESERVATION = Route::get("/v1/reservations/{reservationNo}", Access::Owner, "getReservation");
    RESERVATIONS = Route::get("/v1/reservations", Access::Owner, "listReservations").of(Priority::List);
    PAY = Route::post("/v1/reservations/{reservationNo}/payment", Access::Owner, "payReservation");
    CANCELLATION =
        Route::get("/v1/reservations/{reservationNo}/cancellation", Access::Owner, "previewCancellation");
    CANCEL =
        Route::post_bare("/v1/reservations/{reservationNo}/cancellation", Access::Owner, "cancelReservation");
    PREVIEW_CHANGE = Route::get("/v1/reservations/{reservationNo}/change", Access::Owner, "previewChange");
    CHANGE = Route::post("/v1/reservations/{reservationNo}/change", Access::Owner, "changeReservation");
    CAR = Route::get("/v1/cars/{carNo}", Access::Public, "getCar");
    CARS = Route::get("/v1/cars", Access::Public, "listCars").of(Priority::List);
    REGISTER_CAR = Route::post("/v1/cars", Access::Admin, "registerCar").of(Priority::Create);
    AMEND_CAR = Route::patch("/v1/cars/{carNo}", Access::Admin, "amendCar");
    RETIRE_CAR = Route::delete("/v1/cars/{carNo}", Access::Admin, "retireCar");
    BLOCK_CAR = Route::post("/v1/cars/{carNo}/blocks", Access::Admin, "blockCar").of(Priority::Create);
    UNBLOCK_CAR = Route::delete("/v1/cars/{carNo}/blocks/{blockNo}", Access::Admin, "unblockCar");
    PAYMENT = Route::get("/v1/payments/{paymentNo}", Access::Owner, "getPayment");
    RENTAL = Route::get("/v1/rentals/{rentalNo}", Access::Owner, "getRental");
    PICK_UP = Route::post_bare("/v1/rentals/{rentalNo}/pickup", Access::Admin, "pickUpCar");
    RETURN_CAR = Route::post_bare("/v1/rentals/{rentalNo}/return", Access::Admin, "returnCar");
    REGISTER_CUSTOMER = Route::post("/v1/customers", Access::Owner, "registerCustomer").of(Priority::Create);
    CUSTOMER = Route::get("/v1/customers/{customerNo}", Access::Owner, "getCustomer");
    ERASE_CUSTOMER = Route::delete("/v1/customers/{customerNo}", Access::Owner, "eraseCustomer");
    MY_PAGE = Route::get("/v1/customers/{customerNo}/page", Access::Owner, "getMyPage").of(Priority::List);
    EVENTS = Route::get("/v1/customers/{customerNo}/events", Access::Owner, "followEvents").of(Priority::List);
    LEDGER = Route::get("/v1/fleet/ledger", Access::Admin, "getFleetLedger").of(Priority::List);
    PAYMENT_OPERATION = Route::get("/v1/admin/payment", Access::Ops, "getPaymentGuard").of(Priority::Operations);
    RECONCILIATION =
        Route::get("/v1/admin/payment/reconciliation", Access::Ops, "reconcilePayments").of(Priority::Operations);
    FORCE_BREAKER = Route::post("/v1/admin/payment/breaker", Access::Ops, "forceBreaker").of(Priority::Operations);
    PROVIDER_SETTINGS =
        Route::get("/v1/admin/payment-provider", Access::Ops, "getProviderSettings").of(Priority::Operations);
    CHANGE_PROVIDER_SETTINGS = Route::put("/v1/admin/payment-provider", Access::Ops, "changeProviderSettings")
        .reading(BodyRule::AnyType)
        .unstored()
        .of(Priority::Operations);
    PROVIDER_LEDGER =
        Route::get("/v1/admin/payment-provider/ledger", Access::Ops, "getProviderLedger").of(Priority::Operations);
    BACKUP = Route::get("/v1/admin/backup", Access::Ops, "backUp").of(Priority::Operations);
    FAULT = Route::post("/v1/admin/faults", Access::Ops, "injectFault").of(Priority::Operations);
    HEALTH = Route::get("/actuator/health", Access::Public, "getHealth").of(Priority::Operations);
    LIVENESS = Route::get("/actuator/health/liveness", Access::Public, "getLiveness").of(Priority::Operations);
    READINESS = Route::get("/actuator/health/readiness", Access::Public, "getReadiness").of(Priority::Operations);
    METRICS = Route::get("/metrics", Access::Ops, "getMetrics").of(Priority::Operations);
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
