//! The pages for staff.

pub mod addresses;
pub mod board;
pub mod cars;
pub mod customers;
pub mod desk;
mod doing;
pub mod history;
mod rate;
pub mod rental;
