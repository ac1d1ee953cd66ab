//! The booking of `cargo bench --bench bookings` as services of Restate, in two forms: [`full::Booking`] asks an object for
//! each entity, [`lean::LeanCalendar`] does everything in the state of one.
//!
//! Serves what the server of Restate calls. Keeps nothing itself, and reads no clock: whether a period is over already is
//! not checked, which costs Restate a little less than the others. Cars are not registered: a car exists if its number is
//! one, and all cost the same.

mod entities;
mod full;
mod lean;
mod wire;

use entities::{Calendar, Ledger, Payment, Rental};
use restate_sdk::prelude::{Endpoint, HttpServer};
use std::io::{self, Write as _};
use tokio::net::TcpSocket;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1_024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let endpoint = Endpoint::builder()
        .bind(full::Booking)
        .bind(Calendar)
        .bind(Payment)
        .bind(Rental)
        .bind(Ledger)
        .bind(lean::LeanCalendar)
        .build();
    let socket = TcpSocket::new_v4()?;
    // What is accepted has it from the listener, and the server of the SDK does not set it: small answers would wait.
    socket.set_nodelay(true)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    writeln!(io::stdout(), "ready at http://{}", listener.local_addr()?)?;
    io::stdout().flush()?;
    HttpServer::new(endpoint).serve(listener).await;
    Ok(())
}
