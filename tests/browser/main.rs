//! The pages in a real browser: headless Chromium, driven by `ChromeDriver`, before the real program. What is waited for is a
//! condition, never a time; and at the end of each session the browser's own log has no error of a script and nothing that
//! the pages' security policy has forbidden.
//!
//! `scripts/install-tools.sh` installs what this needs; `RENTCAR_NO_BROWSER=1` leaves these tests out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

#[path = "../common/mod.rs"]
mod common;

mod all_pages;
mod booking;
mod driver;
mod live;
mod my_page;
mod operator;
mod reservation;
mod shop;
mod signing_in;
mod staff;
