//! The waiver of a cancellation's fee, as requests give it and as reservations show it.

use crate::domain::desk::WaiverReason;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That the fee of a cancellation is waived.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
pub(super) struct WaiverDto {
    reason: WaiverReasonDto,
}

/// Why a fee is waived.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum WaiverReasonDto {
    CompanyFault,
    CarUnavailable,
    Goodwill,
    Other,
}

impl From<WaiverDto> for WaiverReason {
    fn from(waiver: WaiverDto) -> WaiverReason {
        match waiver.reason {
            WaiverReasonDto::CompanyFault => WaiverReason::CompanyFault,
            WaiverReasonDto::CarUnavailable => WaiverReason::CarUnavailable,
            WaiverReasonDto::Goodwill => WaiverReason::Goodwill,
            WaiverReasonDto::Other => WaiverReason::Other,
        }
    }
}

impl From<WaiverReason> for WaiverDto {
    fn from(reason: WaiverReason) -> WaiverDto {
        let reason = match reason {
            WaiverReason::CompanyFault => WaiverReasonDto::CompanyFault,
            WaiverReason::CarUnavailable => WaiverReasonDto::CarUnavailable,
            WaiverReason::Goodwill => WaiverReasonDto::Goodwill,
            WaiverReason::Other => WaiverReasonDto::Other,
        };
        WaiverDto { reason }
    }
}
