//! A customer's own data, as forms ask for it.

use crate::actors::api::PersonalData;
use crate::domain::customer::NAME_CHARS_MAX;
use crate::http::HttpState;
use crate::http::customers::{email, licence_consent_at};
use crate::kit::values::check_text;

const PHONE_CHARS_MAX: usize = 40;
const LICENCE_CHARS_MAX: usize = 64;

/// What was typed.
pub struct TypedPerson<'a> {
    pub name: &'a str,
    pub phone: &'a str,
    pub email: &'a str,
    pub licence_no: &'a str,
    pub licence_consent: bool,
}

/// Which fields are wrong.
#[derive(Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a field of a form")]
pub struct WrongPerson {
    pub name: bool,
    pub phone: bool,
    pub email: bool,
    pub licence: bool,
    /// A licence number without the consent to keep it.
    pub consent: bool,
}

impl TypedPerson<'_> {
    /// The data, or what is wrong with it.
    pub fn read(&self, http: &HttpState) -> Result<PersonalData, WrongPerson> {
        let [name, phone, mail, licence_no] = [self.name, self.phone, self.email, self.licence_no].map(str::trim);
        let licence_no = (!licence_no.is_empty()).then(|| licence_no.to_owned());
        let consent = licence_no.is_some().then_some(self.licence_consent);
        let required = http.settings.licence_consent_required;
        let consent = licence_consent_at((licence_no.is_some(), consent), required, http.service.now());
        let wrong = WrongPerson {
            name: check_text(name, NAME_CHARS_MAX).is_err(),
            phone: check_text(phone, PHONE_CHARS_MAX).is_err(),
            email: email(mail).is_err(),
            licence: licence_no.as_ref().is_some_and(|licence_no| check_text(licence_no, LICENCE_CHARS_MAX).is_err()),
            consent: consent.is_err(),
        };
        match consent {
            Ok(licence_consent_at) if wrong == WrongPerson::default() => Ok(PersonalData {
                name: name.to_owned(),
                phone: phone.to_owned(),
                email: mail.to_owned(),
                licence_no,
                licence_consent_at,
            }),
            Ok(_) | Err(_) => Err(wrong),
        }
    }
}
