//! What the benchmarks of the running program share: how it is started, who asks it, and what the operating system tells
//! of it. Measures nothing by itself. A benchmark that takes this in has `common` (the tests' harness) and `results` at
//! its root.
#![allow(dead_code, reason = "every benchmark uses another part of it")]

#[path = "../disk.rs"]
pub mod disk;
pub mod figures;
pub mod fleet;
pub mod found;
pub mod given;
pub mod machine;
pub mod progress;
pub mod scene;
pub mod server;
pub mod turnover;

/// How the services under measurement are called in figures.
pub const RENTCAR: &str = "rentcar";

/// A whole number with its thousands parted, as cases name it.
pub fn in_thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
