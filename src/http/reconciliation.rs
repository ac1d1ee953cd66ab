//! The JSON of a reconciliation report. `rentcar reconcile` reads and prints the same. Compares nothing itself.

use crate::actors::service::Report;
use crate::domain::reconciliation::{Difference, Finding};
use crate::kit::numbers::GivenNumber;
use crate::kit::values::MoneyDto;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReconciliationDto {
    /// Whether both say the same. What is merely under way is no difference.
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
    /// Including the differences that are not listed.
    pub differences_total: u64,
    pub differences: Vec<DifferenceDto>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceDto {
    /// The payment of the reservation, whether it exists or not.
    pub payment_no: GivenNumber,
    /// The permanent machine code.
    #[schemars(extend("enum" = Difference::ALL.map(Difference::code)))]
    pub difference: String,
    pub here: MoneyDto,
    pub there: MoneyDto,
    #[schemars(length(min = 1))]
    pub sentence: String,
}

impl ReconciliationDto {
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
            payment_no: (&finding.payment_no).into(),
            difference: finding.difference.code().to_owned(),
            here: finding.here.into(),
            there: finding.there.into(),
            sentence: finding.difference.sentence().to_owned(),
        }
    }
}
