//! Where settings come from: the built-in ones, a file, and the environment, each over those before it. They are read
//! one by one, so that an error names the source of the setting.

use super::{DEFAULTS, ENV_PREFIX, Settings, SettingsError};
use crate::suggestion::nearest;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Settings that had another name before version 0.2.0.
const RENAMED: [(&str, &str); 10] = [
    ("server.drain_ms", "server.shutdown_drain_ms"),
    ("server.overload_wait_ms", "server.shed_scheduling_delay_ms"),
    ("store.free_mib_min", "store.disk_free_mib_min"),
    ("payment.unknown_ask_seconds_max", "payment.lookup_interval_seconds_max"),
    ("payment.unknown_alarm_seconds", "payment.overdue_seconds"),
    ("payment.bulkhead.settle_concurrency_max", "payment.bulkhead.background_concurrency_max"),
    ("payment.bulkhead.settle_wait_ms_max", "payment.bulkhead.background_wait_ms_max"),
    ("payment.bulkhead.pass_ms_max", "payment.bulkhead.permit_ms_max"),
    ("actors.view_wait_ms_max", "actors.view_freshness_wait_ms_max"),
    ("actors.read_wait_ms_max", "actors.read_queue_wait_ms_max"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "the file {}", path.display()),
            Origin::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

pub(super) fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let mut settings = LayeredSettings::built_in()?;
    if let Some(path) = file {
        let origin = Origin::File(path.to_owned());
        for (name, value) in leaves(&parse(path)?) {
            settings.take(name, value, &origin)?;
        }
    }
    // Sorted, so that of several mistakes the same one is always reported.
    for (variable, value) in variables.collect::<BTreeMap<_, _>>() {
        let variable = variable.to_string_lossy().into_owned();
        let Some(name) = settings.setting_of(&variable) else { continue };
        let origin = Origin::Variable(variable);
        let Ok(value) = value.into_string() else {
            return Err(SettingsError::Unusable { name, problem: "is not UTF-8".to_owned(), origin });
        };
        settings.take(name, Value::String(value), &origin)?;
    }
    settings.checked()
}

fn parse(path: &Path) -> Result<Table, SettingsError> {
    let refused = |problem: String| SettingsError::File { path: path.to_owned(), problem };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read.map_err(|error| (error.kind(), error)) {
        Ok(_) if text.len() as u64 > FILE_BYTES_MAX => {
            return Err(refused(format!("has more than {FILE_BYTES_MAX} bytes, which no file of settings has")));
        }
        Ok(_) => {}
        Err((ErrorKind::NotFound, _)) => {
            let advice = "write one (`rentcar config` prints the settings in force), or leave --config away";
            return Err(refused(format!("is not found: {advice}")));
        }
        Err((ErrorKind::IsADirectory, _)) => {
            return Err(refused("is a directory: name the file in it".to_owned()));
        }
        Err((ErrorKind::InvalidData, _)) => return Err(refused("is not UTF-8, so it is no TOML".to_owned())),
        Err((_, error)) => return Err(refused(format!("cannot be read: {error}"))),
    }
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        refused(format!("is no TOML at line {line}, column {column}: {}", in_one_line(&error)))
    })
}

/// The values of a table and of the tables in it, by their dotted names.
fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        if let Value::Table(inner) = value {
            found.extend(leaves(inner).into_iter().map(|(rest, leaf)| (format!("{name}.{rest}"), leaf)));
        } else {
            found.push((name.clone(), value.clone()));
        }
    }
    found
}

fn variable_of(name: &str) -> String {
    format!("{ENV_PREFIX}__{}", name.replace('.', "__").to_uppercase())
}

struct LayeredSettings {
    /// Every setting with what is built in for it.
    known: BTreeMap<String, Value>,
    table: Table,
    config: Settings,
    /// Which source has set a setting last.
    origins: BTreeMap<String, Origin>,
}

impl LayeredSettings {
    fn built_in() -> Result<LayeredSettings, SettingsError> {
        let unusable = |problem: String| SettingsError::File { path: "config/default.toml".into(), problem };
        let config: Settings = toml::from_str(DEFAULTS).map_err(|error| unusable(error.to_string()))?;
        let table = Table::try_from(&config).map_err(|error| unusable(error.to_string()))?;
        Ok(LayeredSettings { known: leaves(&table).into_iter().collect(), table, config, origins: BTreeMap::new() })
    }

    /// The setting that a variable names, if it names one. Names that lack underscores count too, so that they are
    /// reported and not ignored.
    fn setting_of(&self, variable: &str) -> Option<String> {
        let (prefix, rest) = variable.split_at_checked(ENV_PREFIX.len())?;
        let rest = rest.strip_prefix('_').filter(|_| prefix.eq_ignore_ascii_case(ENV_PREFIX))?.to_lowercase();
        if let Some(name) = rest.strip_prefix('_') {
            return Some(name.replace("__", "."));
        }
        let letters = |name: &str| name.replace(['.', '_'], "");
        self.known.keys().any(|known| letters(known) == letters(&rest)).then_some(rest)
    }

    fn take(&mut self, name: String, value: Value, origin: &Origin) -> Result<(), SettingsError> {
        let Some(built_in) = self.known.get(&name) else {
            let hint = self.hint(&name, origin);
            return Err(SettingsError::Unknown { name, origin: origin.clone(), hint });
        };
        let value = fitting(value, built_in);
        let mut table = self.table.clone();
        put(&mut table, &name, value.clone());
        match table.clone().try_into() {
            Ok(config) => {
                (self.table, self.config) = (table, config);
                self.origins.insert(name, origin.clone());
                Ok(())
            }
            Err(error) => {
                let problem = unfit(&value, built_in, &error);
                Err(SettingsError::Unusable { name, problem, origin: origin.clone() })
            }
        }
    }

    /// What may have been meant by a setting that there is not.
    fn hint(&self, name: &str, origin: &Origin) -> String {
        let known: Vec<_> = self.known.keys().map(|known| known.rsplit_once('.').unwrap_or(("", known))).collect();
        let keys_of = |section: &str| -> Vec<&str> {
            known.iter().filter(|(other, _)| *other == section).map(|(_, key)| *key).collect()
        };
        let listed = |section: &str| format!("{section} has {}", keys_of(section).join(", "));
        let (section, key) = name.rsplit_once('.').unwrap_or(("", name));
        if let Some((_, now)) = RENAMED.iter().find(|(before, _)| *before == name) {
            return match origin {
                Origin::Variable(_) => format!("it is called {now} now (the variable {})", variable_of(now)),
                Origin::File(_) => format!("it is called {now} now"),
            };
        }
        if known.iter().any(|(other, _)| *other == name) {
            return format!("it is a section, and {}", listed(name));
        }
        let beside = nearest(key, keys_of(section)).map(|key| format!("{section}.{key}"));
        let elsewhere =
            || known.iter().find(|(_, other)| *other == key).map(|(section, key)| format!("{section}.{key}"));
        let meant = beside.or_else(elsewhere);
        let meant = meant.or_else(|| nearest(name, self.known.keys().map(String::as_str)).map(str::to_owned));
        match (meant, origin) {
            (Some(meant), Origin::Variable(_)) => {
                format!("did you mean {meant} (the variable {})?", variable_of(&meant))
            }
            (Some(meant), Origin::File(_)) => format!("did you mean {meant}?"),
            (None, _) if !keys_of(section).is_empty() => listed(section),
            (None, _) => "`rentcar config` prints all that there are".to_owned(),
        }
    }

    fn checked(self) -> Result<Settings, SettingsError> {
        match self.config.check() {
            Ok(()) => Ok(self.config),
            Err(SettingsError::Invalid { name, problem }) => Err(match self.origins.get(&name) {
                Some(origin) => SettingsError::Unusable { name, problem, origin: origin.clone() },
                None => SettingsError::Invalid { name, problem },
            }),
            Err(other) => Err(other),
        }
    }
}

fn put(table: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => drop(table.insert(name.to_owned(), value)),
        Some((section, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(section) {
                put(inner, rest, value);
            }
        }
    }
}

/// The value converted to the type of the built-in one, if it can be: a variable is always a text, and a port in a
/// file may be a number.
fn fitting(value: Value, built_in: &Value) -> Value {
    let text = match &value {
        _ if value.same_type(built_in) => return value,
        Value::String(text) => text.clone(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => return value,
    };
    let read = match built_in {
        Value::String(_) => Some(Value::String(text)),
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => match text.to_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Some(Value::Boolean(true)),
            "false" | "0" | "off" | "no" => Some(Value::Boolean(false)),
            _ => None,
        },
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    };
    read.unwrap_or(value)
}

fn unfit(value: &Value, built_in: &Value, error: &toml::de::Error) -> String {
    let wanted = match built_in {
        Value::Integer(_) if value.same_type(built_in) => {
            return format!("is {value}, which is out of range; it is {built_in} unless set");
        }
        Value::String(_) if value.same_type(built_in) => return format!("is {value}: {}", in_one_line(error)),
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::String(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => "a text",
    };
    format!("is {value}, but must be {wanted}; it is {built_in} unless set")
}

fn in_one_line(error: &toml::de::Error) -> String {
    error.message().lines().map(str::trim).collect::<Vec<_>>().join(", ")
}
