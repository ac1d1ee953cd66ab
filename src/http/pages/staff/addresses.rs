//! Where the pages of staff are.

use crate::domain::ids::{CarNo, CustomerNo};
use crate::kit::values::segment;

pub fn car_address(car_no: &CarNo) -> String {
    format!("/staff/cars/{}", segment(car_no.as_str()))
}

pub fn customer_address(customer_no: &CustomerNo) -> String {
    format!("/staff/customers/{}", segment(customer_no.as_str()))
}

pub fn car_history_address(car_no: &CarNo) -> String {
    format!("/staff/history/cars/{}", segment(car_no.as_str()))
}

pub fn customer_history_address(customer_no: &CustomerNo) -> String {
    format!("/staff/history/customers/{}", segment(customer_no.as_str()))
}
