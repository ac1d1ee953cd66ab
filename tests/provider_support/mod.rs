//! The provider process' routes on a real socket, for tests.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part, and a test fails by panicking")]

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rentcar::domain::ids::ReservationNo;
use rentcar::domain::money::{Currency, Money};
use rentcar::http::provider;
use rentcar::providers::sandbox::{Sandbox, SettingsPatch};
use rentcar::providers::{Charge, Refund};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running provider.
pub struct Process {
    pub sandbox: Sandbox,
    pub url: String,
    server: JoinHandle<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Process {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sandbox = Sandbox::new();
        let service = TowerToHyperService::new(warp::service(provider::standalone(&sandbox)));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { sandbox, url, server }
    }

    pub fn set(&self, json: &str) {
        let patch: SettingsPatch = serde_json::from_str(json).unwrap();
        self.sandbox.change(&patch).unwrap();
    }
}

pub fn won(amount: u64) -> Money {
    Money::new(amount, Currency::KRW).unwrap()
}

pub fn charge(key: &str, amount: u64) -> Charge {
    Charge {
        idempotency_key: key.into(),
        reservation_no: ReservationNo::parse("예약-1").unwrap(),
        amount: won(amount),
        method: "card".into(),
        token: "tok_secret".into(),
    }
}

pub fn refund(key: &str, charge_key: &str, amount: u64) -> Refund {
    Refund {
        idempotency_key: key.into(),
        charge_key: charge_key.into(),
        reservation_no: ReservationNo::parse("예약-1").unwrap(),
        amount: won(amount),
    }
}
