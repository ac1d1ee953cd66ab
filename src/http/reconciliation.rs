//! The comparison of our payments with the provider's record, as it is written outside. `rentcar reconcile` reads and
//! prints the same form. Compares nothing itself.

use super::values::MoneyDto;
use crate::actors::service::Report;
use crate::domain::reconciliation::Finding;
use serde::{Deserialize, Serialize};

/// What was compared and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReconciliationDto {
    /// Whether both say the same.
    pub agrees: bool,
    /// How many payments are committed here.
    pub payments: u64,
    /// How many charges the provider's record has.
    pub charges: u64,
    /// How many refunds it has.
    pub refunds: u64,
    /// How many charges are under way, or their outcome is not known yet.
    pub pending_charges: u64,
    /// How many refunds are owed and not made yet.
    pub pending_refunds: u64,
    /// How many differences there are, those included that are not listed.
    pub differences_total: u64,
    /// The differences, as many as are listed.
    pub differences: Vec<DifferenceDto>,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceDto {
    /// The payment of the reservation, whether it exists or not.
    pub payment_no: String,
    /// How the records differ, for a program.
    pub difference: String,
    /// What is recorded here.
    pub here: MoneyDto,
    /// What the provider's record says.
    pub there: MoneyDto,
    /// How they differ, for a person.
    pub sentence: String,
}

impl ReconciliationDto {
    /// Of a report.
    pub fn of(report: &Report) -> ReconciliationDto {
        ReconciliationDto {
            agrees: report.agrees(),
            payments: report.payments,
            charges: report.charges,
            refunds: report.refunds,
            pending_charges: report.pending_charges,
            pending_refunds: report.pending_refunds,
            differences_total: report.differences(),
            differences: report.findings.iter().map(DifferenceDto::of).collect(),
        }
    }
}

impl DifferenceDto {
    fn of(finding: &Finding) -> DifferenceDto {
        DifferenceDto {
            payment_no: finding.payment_no.to_string(),
            difference: finding.difference.code().to_owned(),
            here: finding.here.into(),
            there: finding.there.into(),
            sentence: finding.difference.sentence().to_owned(),
        }
    }
}
