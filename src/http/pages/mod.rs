//! The pages for people: templates over what the service tells, and forms that lead to other pages. They work without script,
//! load nothing from elsewhere, and speak every language of [`texts`].
//!
//! Each file has a part of the pages, with its routes; `page` has what all pages share, and `refused` what is shown when one
//! cannot be.

mod account;
mod api;
mod assets;
mod book;
mod bookings;
mod calendar;
mod change;
mod format;
mod language;
mod live;
mod my;
mod operation;
mod page;
mod payment;
mod period;
mod person;
pub(super) mod refused;
mod reservation;
mod search;
mod sign_in;
mod staff;
mod texts;

use super::HttpState;
use crate::kit::endpoint::Operation;

pub(super) fn operations() -> Vec<Operation<HttpState>> {
    let parts = [
        assets::operations,
        language::operations,
        live::operations,
        search::operations,
        book::operations,
        reservation::operations,
        change::operations,
        my::operations,
        account::operations,
        calendar::operations,
        sign_in::operations,
        operation::all_operations,
        api::operations,
        staff::board::operations,
        staff::desk::operations,
        staff::rental::operations,
        staff::cars::operations,
        staff::customers::operations,
        staff::history::operations,
    ];
    parts.into_iter().flat_map(|operations| operations()).collect()
}
