//! A company with accounts, and the people who open its pages.

use crate::common::process::rentcar;
use crate::common::{Answer, Api, DAILY_RATE, Options, TestServer, unique};
use crate::driver::{self, Browser, Kind};
use serde_json::json;
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

pub const PASSWORD: &str = "correct horse battery";

pub struct Shop {
    server: TestServer,
    key: String,
    _directory: tempfile::TempDir,
}

/// Somebody with an account.
pub struct Person {
    pub email: String,
    /// Of customers.
    pub customer_no: String,
}

/// A car that can be found by its branch, in which no other is.
pub struct Car {
    pub number: String,
    pub model: String,
    pub branch: String,
}

/// A day so many days from today, on the company's clock.
pub fn day(days: i64) -> String {
    let today = jiff::Timestamp::now().in_tz("Asia/Seoul").unwrap().date();
    today.checked_add(jiff::Span::new().days(days)).unwrap().to_string()
}

/// Ten o'clock of such a day, as RFC 3339.
pub fn ten_o_clock(days: i64) -> String {
    format!("{}T10:00:00+09:00", day(days))
}

impl Shop {
    /// The one that all tests share which leave its settings alone; `None` where browsers are left out.
    pub async fn shared() -> Option<Arc<Shop>> {
        static SHARED: Mutex<Weak<Shop>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(shop) = shared.upgrade() {
            return Some(shop);
        }
        let shop = Arc::new(Shop::with(Options::default()).await?);
        *shared = Arc::downgrade(&shop);
        Some(shop)
    }

    /// One of its own.
    pub async fn with(options: Options) -> Option<Shop> {
        if driver::is_left_out() {
            eprintln!("left out, since RENTCAR_NO_BROWSER is set");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("api-keys");
        let scopes = "bookings,fleet,operations,metrics";
        let made = rentcar().args(["key", "new", "tests", "--scope", scopes, "--file"]).arg(&keys).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let options = options
            .setting("ACCESS__API_KEYS", keys.to_str().unwrap())
            .setting("ACCOUNTS__ENABLED", "true")
            .setting("ACCOUNTS__HASH_MEMORY_KIB", "1024")
            .setting("ACCOUNTS__HASH_PASSES", "1");
        let server = TestServer::with(options).await;
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        Some(Shop { server, key, _directory: directory })
    }

    /// Whoever may do everything, without a browser. A client of its own, since each test has its own runtime.
    pub fn api(&self) -> Api {
        Api::at(&self.server.url).with_token(&self.key)
    }

    pub async fn browser(&self) -> Browser {
        self.browser_of(Kind::default()).await
    }

    pub async fn browser_of(&self, kind: Kind) -> Browser {
        Browser::open(&self.server.url, kind).await
    }

    pub async fn customer(&self) -> Person {
        let email = format!("{}@example.com", unique("kim"));
        let body = json!({ "email": email, "password": PASSWORD, "name": "Kim Minji", "phone": "+82-10-1234-5678" });
        let answer = self.api().post("/v1/accounts", &body).await.expect(201);
        Person { email, customer_no: answer.text_at("/customerNo") }
    }

    /// Somebody of the company: `staff` or `operator`.
    pub async fn employee(&self, role: &str) -> Person {
        let email = format!("{}@example.com", unique(role));
        let body = json!({ "email": email, "password": PASSWORD, "role": role });
        self.api().post("/v1/admin/accounts", &body).await.expect(201);
        Person { email, customer_no: String::new() }
    }

    pub async fn car(&self) -> Car {
        self.car_in(&unique("branch"), "compact").await
    }

    pub async fn car_in(&self, branch: &str, car_class: &str) -> Car {
        let (number, model) = (unique("car"), unique("Ioniq"));
        let body = json!({"carNo": number, "model": model, "dailyRate": {"amount": DAILY_RATE, "currency": "KRW"},
                          "carClass": car_class, "branch": branch, "registeredOn": "2020-07-01"});
        self.api().post("/v1/cars", &body).await.expect(201);
        Car { number, model, branch: branch.to_owned() }
    }

    /// A car that somebody has booked and paid for two days, from so many days from now on; the reservation.
    pub async fn booked(&self, person: &Person, from_day: i64) -> Answer {
        let car = self.car().await;
        self.api().reserve(&car.number, &person.customer_no, from_day, from_day + 2).await
    }
}

impl Browser {
    /// Signs in by the form and waits until that is done.
    pub async fn sign_in(&self, person: &Person) {
        self.go("/sign-in?next=/sign-up").await;
        self.fill_in_sign_in(&person.email, PASSWORD).await;
        self.sees(".self", "Sign out").await;
    }

    pub async fn fill_in_sign_in(&self, email: &str, password: &str) {
        self.fill("[name=email]", email).await;
        self.fill("[name=password]", password).await;
        self.click("main form button").await;
    }

    /// Opens the page on which a car is booked for two days, from so many days from today on.
    pub async fn go_to_book(&self, car: &Car, from_day: i64) {
        self.go("/").await;
        self.fill_day("[name=fromDay]", &day(from_day)).await;
        self.fill_day("[name=toDay]", &day(from_day + 2)).await;
        self.choose("[name=branch]", &car.branch).await;
        self.press("Search").await;
        self.sees(".tiles h3", &car.model).await;
        self.click(".tiles a").await;
        self.is_at("/book?").await;
    }
}
