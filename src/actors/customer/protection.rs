//! Checks that the personal data of a store can be opened, as far as the master keys are given. Changes nothing, and says nothing of
//! what is in the data.

use super::Customers;
use super::master_key::{MasterKeys, UnwrapError, WrappedBy};
use super::seal;
use super::wrapping::{WrapError, count};
use crate::actors::runtime::StateDocument;
use crate::domain::customer::Customer;
use crate::domain::ids::CustomerNo;
use crate::store::journal::{Journal, ReadError};
use crate::store::schema::customer::{KEY_KIND, STATE_KIND};
use std::collections::BTreeMap;
use std::sync::Arc;

const CUSTOMERS_PER_READ: usize = 1_000;
/// The most findings that are named.
const FINDINGS_MAX: usize = 100;

#[derive(Debug, Default)]
pub struct Report {
    /// How many keys are wrapped by what.
    pub keys: BTreeMap<WrappedBy, u64>,
    /// Customers whose data was opened.
    pub opened: u64,
    /// Some of the findings.
    pub findings: Vec<String>,
    pub findings_total: u64,
}

/// # Errors
/// When the store cannot be read, or something in it is no key.
pub async fn check(journal: &dyn Journal, keys: &MasterKeys) -> Result<Report, WrapError> {
    let mut report = Report { keys: count(journal).await?, ..Report::default() };
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = journal.documents(STATE_KIND, after.as_deref(), CUSTOMERS_PER_READ).await?;
        let Some((last, _)) = page.last() else { return Ok(report) };
        after = Some(Arc::clone(last));
        for (key, body) in &page {
            match opens(journal, keys, (key, body)).await? {
                Ok(opened) => report.opened += u64::from(opened),
                Err(why) => {
                    report.findings_total += 1;
                    if report.findings.len() < FINDINGS_MAX {
                        report.findings.push(format!("personal_data_opens: {key}: {why}"));
                    }
                }
            }
        }
    }
}

/// Whether the data was opened, or why it cannot be; it is not opened when the master key is not given. Documents of another schema
/// are left to the replay.
async fn opens(
    journal: &dyn Journal,
    keys: &MasterKeys,
    (key, body): (&Arc<str>, &[u8]),
) -> Result<Result<bool, String>, ReadError> {
    let Ok(StateDocument { state, .. }) = StateDocument::decode(&Customers, body) else { return Ok(Ok(false)) };
    let Some(Customer::Registered { sealed, .. } | Customer::Closed { sealed, .. }) = state.0 else {
        return Ok(Ok(false));
    };
    let Some(stored) = journal.document(KEY_KIND, key).await? else { return Ok(Ok(false)) };
    let data_key = match keys.unwrap_key((KEY_KIND, key), &stored) {
        Ok(data_key) => data_key,
        Err(UnwrapError::Missing(_)) => return Ok(Ok(false)),
        Err(error @ UnwrapError::Damaged) => return Ok(Err(format!("its key: {error}"))),
    };
    let Ok(customer_no) = CustomerNo::stored(key) else { return Ok(Err("its number is none".to_owned())) };
    Ok(seal::open(&customer_no, &sealed, &data_key).map(|_| true).map_err(|error| error.to_string()))
}
