//! How the sandbox provider behaves at the moment. Pure: checks values, applies nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest latency that can be simulated: ten minutes.
pub const LATENCY_MS_MAX: u64 = 600_000;
/// The most concurrent calls that a capacity can name.
pub const CAPACITY_MAX: u32 = 1_000_000;

/// The settings; the default is a provider that serves everything at once and well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "ProviderSettings")]
pub struct Settings {
    /// How long serving a call takes, in milliseconds, waiting for a free permit not included.
    #[schemars(range(max = LATENCY_MS_MAX))]
    pub latency_ms: u64,
    /// How many calls are served at the same time; the others wait in the order of their arrival. 0: no limit.
    #[schemars(range(max = CAPACITY_MAX))]
    pub capacity: u32,
    /// The share of new charges that is declined, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub decline_rate: f64,
    /// The share of charges and refunds that fail: nothing happens, and the provider says so. 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fail_rate: f64,
    /// The share of charges and refunds that happen, but whose answer is lost. 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lose_answer_rate: f64,
    /// Whether every call is refused at once.
    pub down: bool,
}

/// A change of some of the settings; those that are missing stay as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ProviderSettingsChange")]
pub struct SettingsPatch {
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(max = LATENCY_MS_MAX))]
    pub latency_ms: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(max = CAPACITY_MAX))]
    pub capacity: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub decline_rate: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fail_rate: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lose_answer_rate: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub down: Option<bool>,
}

/// A member that is present must have a value: `null` does not mean "unchanged".
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    #[error("{0} must be a number from 0 to 1")]
    Rate(&'static str),
    #[error("latencyMs must be at most {LATENCY_MS_MAX}")]
    Latency,
    #[error("capacity must be at most {CAPACITY_MAX}")]
    Capacity,
}

impl Settings {
    /// These settings if every value is within its bounds.
    ///
    /// # Errors
    /// The first value that is not.
    pub fn checked(self) -> Result<Settings, InvalidSettings> {
        let rates = [
            ("declineRate", self.decline_rate),
            ("failRate", self.fail_rate),
            ("loseAnswerRate", self.lose_answer_rate),
        ];
        for (name, rate) in rates {
            // NaN is in no range.
            if !(0.0..=1.0).contains(&rate) {
                return Err(InvalidSettings::Rate(name));
            }
        }
        if self.latency_ms > LATENCY_MS_MAX {
            return Err(InvalidSettings::Latency);
        }
        if self.capacity > CAPACITY_MAX {
            return Err(InvalidSettings::Capacity);
        }
        Ok(self)
    }

    /// These settings with those of the patch in their place, unchecked.
    #[must_use]
    pub fn patched(self, patch: &SettingsPatch) -> Settings {
        Settings {
            latency_ms: patch.latency_ms.unwrap_or(self.latency_ms),
            capacity: patch.capacity.unwrap_or(self.capacity),
            decline_rate: patch.decline_rate.unwrap_or(self.decline_rate),
            fail_rate: patch.fail_rate.unwrap_or(self.fail_rate),
            lose_answer_rate: patch.lose_answer_rate.unwrap_or(self.lose_answer_rate),
            down: patch.down.unwrap_or(self.down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_outside_of_0_to_1_are_refused() {
        for rate in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Settings { fail_rate: rate, ..Settings::default() }.checked().is_err(), "{rate}");
        }
        assert!(Settings { fail_rate: 1.0, ..Settings::default() }.checked().is_ok());
    }

    #[test]
    fn latency_and_capacity_have_bounds() {
        assert!(Settings { latency_ms: LATENCY_MS_MAX + 1, ..Settings::default() }.checked().is_err());
        assert!(Settings { capacity: CAPACITY_MAX + 1, ..Settings::default() }.checked().is_err());
    }

    #[test]
    fn a_patch_with_null_or_an_unknown_member_is_not_a_patch() {
        for bad in [r#"{"down":null}"#, r#"{"latency":1}"#, r#"{"latencyMs":-1}"#, r#"{"down":"yes"}"#] {
            assert!(serde_json::from_str::<SettingsPatch>(bad).is_err(), "{bad}");
        }
    }
}
