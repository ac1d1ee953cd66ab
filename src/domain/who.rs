//! Who has done something, as far as it is kept: a kind and an id. Nothing personal: the ids of people are those of their
//! credentials, which are to be opaque.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of caller somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhoKind {
    /// A customer, by the customer number.
    Customer,
    /// A person of the company, also one who operates the service, by the subject of the token.
    Staff,
    /// A program, by the subject of its token.
    Machine,
    /// A program, by the name of its API key.
    ApiKey,
}

impl WhoKind {
    const ALL: [WhoKind; 4] = [WhoKind::Customer, WhoKind::Staff, WhoKind::Machine, WhoKind::ApiKey];

    /// Its permanent name in what is stored.
    pub const fn name(self) -> &'static str {
        match self {
            WhoKind::Customer => "customer",
            WhoKind::Staff => "staff",
            WhoKind::Machine => "machine",
            WhoKind::ApiKey => "key",
        }
    }
}

/// Somebody who has done something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// What kind of caller.
    pub kind: WhoKind,
    /// Which one of that kind.
    pub id: String,
}

impl fmt::Display for Who {
    /// The form in which events keep it, such as `staff:7f3a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.id)
    }
}

impl Who {
    /// Reads what [`Display`](fmt::Display) writes; `None` when it is something else.
    pub fn parse(text: &str) -> Option<Who> {
        let (name, id) = text.split_once(':').filter(|(_, id)| !id.is_empty())?;
        let kind = WhoKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some(Who { kind, id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_it_was_is_read_as_it_was_written_whatever_is_in_the_id() {
        for kind in WhoKind::ALL {
            let who = Who { kind, id: "a:b 김".to_owned() };
            assert_eq!(Who::parse(&who.to_string()), Some(who));
        }
        for nobody in ["", "staff", "staff:", ":x", "queen:x"] {
            assert_eq!(Who::parse(nobody), None, "{nobody}");
        }
    }
}
