//! The architecture as rules that are checked: which layer may know which, where the troublesome crates stay, what
//! no file may do. Reads the sources as text, knows nothing of what they mean, and tells what to do instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod imports;
mod sources;

use sources::{
    Source, files_below, is_word, paths, relative, root, sources, without_comments_and_literals, without_tests,
};
use std::fmt::Write as _;
use std::path::PathBuf;

/// The most lines of a source file.
const LINES_MAX: usize = 600;

/// What a layer may know of the crate; `ANY` of them know everything.
const LAYERS: [(&str, &[&str]); 10] = [
    ("domain", &[]),
    ("suggestion", &[]),
    ("trace", &[]),
    ("outbound", &[]),
    ("store", &["domain", "trace"]),
    ("providers", &["domain", "outbound", "trace"]),
    ("cluster", &["domain", "store", "trace"]),
    ("actors", &["domain", "store", "providers", "cluster", "trace"]),
    // The narrow doors of `http` are in `EXCEPTIONS`.
    ("kit", &["domain", "outbound", "suggestion", "trace"]),
    ("http", &["domain", "kit", "suggestion", "trace"]),
];

/// Those who put everything together.
const ANY: [&str; 4] = ["main", "lib", "config", "commands"];

/// Exceptions that are allowed beside the layers: who, and which path.
const EXCEPTIONS: [(&str, &str); 6] = [
    // The front door asks the service, in its words, and shows the bulkhead to operators.
    ("src/http/", "actors::api"),
    ("src/http/", "actors::service"),
    ("src/http/admin.rs", "actors::bulkhead"),
    // The record of a whole request that was answered before.
    ("src/http/response_store.rs", "store::journal::CommandRecord"),
    // The routes of the sandbox provider.
    ("src/http/provider.rs", "providers"),
    ("src/http/routes.rs", "providers::sandbox"),
];

/// Dependencies that are forbidden although the layers would allow them: who, which path, and why.
const BOUNDARIES: [(&str, &str, &str); 10] = [
    ("src/actors/bulkhead/", "domain", "the bulkhead knows permits and calls, and neither money nor payments"),
    ("src/actors/runtime/", "domain", "the runtime knows no cars, so that another project can use it"),
    ("src/actors/runtime/", "providers", "the runtime knows no payments, so that another project can use it"),
    ("src/actors/runtime/", "store::schema", "the runtime sees tags and bytes; an `Entity` encodes"),
    ("src/actors/", "store::sled", "the actors know the journal as a port only; main chooses the adapter"),
    ("src/actors/", "store::memory", "the actors know the journal as a port only; tests choose the adapter"),
    ("src/store/journal.rs", "domain", "the port sees tags and bytes; what they mean stands in store/schema"),
    ("src/store/sled/", "domain", "an adapter sees tags and bytes; what they mean stands in store/schema"),
    ("src/store/memory/", "domain", "an adapter sees tags and bytes; what they mean stands in store/schema"),
    ("src/store/archive/", "domain", "an archive sees tags and bytes; what they mean stands in store/schema"),
];

/// Crates that stay in one place, and where that is.
const CRATES: [(&str, &[&str]); 10] = [
    ("bincode", &["src/store/codec.rs"]),
    ("ractor", &["src/actors/"]),
    // As a crate its paths begin with `::`, as our own adapter they do not.
    ("::sled", &["src/store/sled/"]),
    ("warp", &["src/http/", "src/kit/", "src/commands/"]),
    ("hyper", &["src/kit/"]),
    ("hyper_util", &["src/kit/"]),
    ("reqwest", &["src/outbound.rs", "src/providers/remote.rs", "src/kit/access/jwks/", "src/commands/"]),
    ("askama", &["src/http/pages/"]),
    ("icalendar", &["src/http/pages/"]),
    ("tokio_rustls", &["src/kit/tls.rs", "src/kit/server.rs"]),
];

/// The only crates beside the standard library that the domain names.
const DOMAIN_CRATES: [&str; 4] = ["icu_normalizer", "icu_properties", "serde", "thiserror"];

/// What the domain may not name, since all that it knows is told to it.
const IMPURE: [&str; 14] = [
    "async",
    "await",
    "std::time",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "std::sync::Mutex",
    "unsafe",
    "thread_local",
];

/// What ends a thread; whatever comes from outside must end in an answer.
const PANICS: [&str; 6] = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!"];

/// The numbers that people type.
const NUMBERS: [&str; 6] = ["CarNo", "CustomerNo", "ReservationNo", "PaymentNo", "RentalNo", "BlockNo"];

/// Who at the front door reads back what the service itself has given or kept.
const READ_BACK: [&str; 2] = ["src/http/response_store.rs", "src/http/legacy/numbering.rs"];

fn layer_of(path: &str) -> &str {
    path.trim_start_matches("src/").split(['/', '.']).next().unwrap()
}

fn starts(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The first word or path of a text in code, with its line; `unsafe` is not found in `unsafely`.
fn mentions(code: &str, needle: &str) -> Vec<usize> {
    let is_found = |line: &str| {
        line.match_indices(needle).any(|(at, _)| {
            let (before, after) = (line[..at].chars().next_back(), line[at + needle.len()..].chars().next());
            let word = |char: char| is_word(Some(char));
            let begins = !needle.starts_with(word) || !is_word(before);
            begins && (!needle.ends_with(word) || !is_word(after))
        })
    };
    code.lines().enumerate().filter(|(_, line)| is_found(line)).map(|(at, _)| at + 1).collect()
}

fn none_of(broken: &[String], what_to_do: &str) {
    let mut text = String::new();
    for one in broken {
        writeln!(text, "  {one}").unwrap();
    }
    assert!(broken.is_empty(), "{} broken:\n{text}{what_to_do}\n", broken.len());
}

#[test]
fn layers_know_only_those_below_them() {
    let mut broken = vec![];
    let mut unused = EXCEPTIONS.to_vec();
    for source in sources() {
        let from = layer_of(&source.path);
        if ANY.contains(&from) {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == from) else {
            broken.push(format!("{}: belongs to no layer", source.path));
            continue;
        };
        for (line, path) in paths(&source) {
            let to = path.split("::").next().unwrap();
            let within = to == from || allowed.contains(&to);
            let opens = |(who, what): &(&str, &str)| source.path.starts_with(who) && starts(&path, what);
            let door = EXCEPTIONS.iter().any(opens);
            unused.retain(|door| !opens(door));
            if !within && !door {
                broken.push(format!("{}:{line}: {from} -> {path}", source.path));
            }
        }
    }
    broken.extend(unused.iter().map(|(who, what)| format!("nobody in {who} needs {what} any more: close that door")));
    none_of(
        &broken,
        "Layers point one way: http -> actors -> store -> domain, with providers beside actors (ARCHITECTURE.md, \
         \"Layers\"). Move what is needed down to a layer that both may know, or pass it in as an argument. A new door \
         is added to EXCEPTIONS in this test with its reason, and to ARCHITECTURE.md.",
    );
}

#[test]
fn walls_within_the_layers_stand() {
    let mut broken = vec![];
    for source in sources() {
        for (who, what, why) in BOUNDARIES {
            if !source.path.starts_with(who) {
                continue;
            }
            for (line, path) in paths(&source) {
                if starts(&path, what) {
                    broken.push(format!("{}:{line}: names {path}, but {why}", source.path));
                }
            }
        }
        let runtime = source.path.starts_with("src/actors/runtime/");
        for (line, path) in paths(&source) {
            if runtime && starts(&path, "actors") && !starts(&path, "actors::runtime") {
                broken.push(format!("{}:{line}: the runtime names {path}, a context of ours", source.path));
            }
        }
    }
    none_of(&broken, "Turn the arrow around: let the one who knows more hand in a trait object, a function or bytes.");
}

#[test]
fn troublesome_crates_stay_where_they_are_tamed() {
    let mut broken = vec![];
    for source in sources() {
        for (name, places) in CRATES {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            let named = mentions(&source.code, name).into_iter().filter(|&line| {
                let text = source.code.lines().nth(line - 1).unwrap();
                // A crate is named by a path that begins with it; `store::sled` and `mod sled` are our own.
                let ours = name.starts_with("::") && !text.contains(&format!(" {name}")) && !text.starts_with(name);
                !ours && (name.starts_with("::") || text.contains(&format!("{name}::")))
            });
            for line in named {
                broken.push(format!("{}:{line}: names {name}, whose place is {}", source.path, places.join(", ")));
            }
        }
    }
    none_of(
        &broken,
        "These crates have traps that one module each works around (docs/adr). Use that module, or give it what is \
         missing.",
    );
}

/// The names of the crates that Cargo.toml gives to the program, as code spells them.
fn dependencies() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim());
    let names: Vec<_> = names.filter(|name| !name.starts_with('#')).map(|name| name.replace('-', "_")).collect();
    assert!(names.iter().any(|name| name == "tokio"), "the dependencies were not found");
    names
}

#[test]
fn the_domain_is_pure() {
    let mut broken = vec![];
    for source in sources().iter().filter(|source| source.path.starts_with("src/domain/")) {
        for word in IMPURE {
            for line in mentions(&source.code, word) {
                broken.push(format!("{}:{line}: names `{word}`", source.path));
            }
        }
        for name in dependencies().iter().filter(|name| !DOMAIN_CRATES.contains(&name.as_str())) {
            for line in mentions(&source.code, &format!("{name}::")) {
                broken.push(format!("{}:{line}: names the crate {name}", source.path));
            }
        }
    }
    none_of(
        &broken,
        "The domain reads no clock, draws nothing at random, does no IO and awaits nothing: let the caller pass the \
         time, the number or the outcome in as an argument.",
    );
}

#[test]
fn nothing_panics_on_purpose_outside_tests() {
    let mut broken = vec![];
    for source in sources() {
        for word in PANICS {
            for line in mentions(&source.code, word) {
                let text = source.code.lines().nth(line - 1).unwrap();
                // A method of our own that answers a `Result` is none; clippy's `expect_used` sees the types.
                let ours = text
                    .split(word)
                    .skip(1)
                    .all(|after| after.split_once(')').is_some_and(|(_, rest)| rest.starts_with('?')));
                if word != ".expect(" || !ours {
                    broken.push(format!("{}:{line}: `{word}`", source.path));
                }
            }
        }
    }
    none_of(&broken, "Return a typed error, or make the case impossible by a type. Tests stand under #[cfg(test)].");
}

#[test]
fn numbers_are_read_as_spelled_outside_at_the_front_door_and_to_the_letter_behind_it() {
    let mut broken = vec![];
    for source in sources() {
        let outside = ["src/http/", "src/kit/"].iter().any(|front| source.path.starts_with(front));
        if !outside && !["src/store/", "src/actors/", "src/providers/"].iter().any(|it| source.path.starts_with(it)) {
            continue;
        }
        let readers = if outside { &["parse", "stored"][..] } else { &["parse"][..] };
        for (name, reader) in NUMBERS.iter().flat_map(|name| readers.iter().map(move |reader| (name, reader))) {
            for line in mentions(&source.code, &format!("{name}::{reader}(")) {
                let allowed = *reader == "stored" && READ_BACK.contains(&source.path.as_str());
                if !allowed {
                    broken.push(format!("{}:{line}: {name}::{reader}", source.path));
                }
            }
        }
    }
    none_of(
        &broken,
        "A number is one number in all its spellings: the front door reads it as `RawNumber` (Call::number, \
         or as a member of a document or a query), and what was stored is read by `stored`, or stores made before lose what \
         they hold under other spellings.",
    );
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
    };
    let broken: Vec<_> = sources().iter().filter_map(long).collect();
    none_of(&broken, &format!("Split it into a folder of the same name; {LINES_MAX} lines are the most."));
}

#[test]
fn nothing_names_a_place_on_somebodys_machine() {
    // Taken apart, so that they are not found here.
    let places = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/"), concat!("/", "work/")];
    let texts = ["rs", "toml", "md", "json", "yml", "yaml", "sh", "txt", "hex", "lock", "html", "js", "css"];
    let mut files = vec![];
    for entry in std::fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        let name = relative(&path);
        let ours = !name.starts_with(".git") && name != "target" && name != "data";
        if ours && path.is_dir() {
            files_below(&path, &mut files);
        } else if ours {
            files.push(path);
        }
    }
    let is_text = |file: &&PathBuf| file.extension().is_some_and(|name| texts.iter().any(|text| name == *text));
    let mut broken = vec![];
    for file in files.iter().filter(is_text) {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        for (line, content) in text.lines().enumerate() {
            for place in places {
                // An address such as https://host/home/ is none.
                let found = content.match_indices(place).any(|(at, _)| {
                    !content[..at].ends_with(|before: char| before.is_alphanumeric() || "./-_}$~".contains(before))
                });
                if found {
                    broken.push(format!("{}:{}: {place}…", relative(file), line + 1));
                }
            }
        }
    }
    none_of(&broken, "Use a path relative to the project, an argument or a temporary directory.");
}

#[test]
fn the_reader_of_this_test_understands_the_language_it_reads() {
    let text = "use crate::{a::B, c as d};\n// crate::hidden\nlet x = \"crate::hidden\"; super::e::f(crate::g::H);\n\
                #[cfg(test)]\nmod tests { use crate::hidden; }\nlet r = r#\"crate::\"hidden\"#; let c = '\"'; crate::i; pub(crate) j";
    let code = without_tests(&without_comments_and_literals(text));
    let source = Source { path: "src/x/y/z.rs".to_owned(), text: String::new(), code };
    let mut named: Vec<_> = paths(&source).into_iter().map(|(_, path)| path).collect();
    named.sort();
    assert_eq!(named, ["a::B", "c", "g::H", "i", "x::y::e::f"]);
}

#[test]
fn what_is_waited_for_is_built_quickly_and_what_is_measured_is_linked_as_a_whole() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let profiles = manifest["profile"].as_table().unwrap();
    let release = profiles["release"].as_table().unwrap();
    assert!(!release.contains_key("lto"), "`cargo run --release` is waited for: what links as a whole is `dist`");
    assert!(release["codegen-units"].as_integer() > Some(1), "`cargo run --release` uses more than one processor");
    assert_eq!(profiles["dist"]["lto"].as_str(), Some("fat"));
    assert_eq!(profiles["dist"]["codegen-units"].as_integer(), Some(1));
    assert_eq!(profiles["bench"]["inherits"].as_str(), Some("dist"), "figures are taken from what images are made of");
}

/// The commands that follow from something, which the table of the booking process alone builds; and those of them that
/// customers give to calendars under the same name.
const FOLLOWING: [&str; 15] = [
    "Confirm",
    "Expire",
    "Complete",
    "CompleteNoShow",
    "Rent",
    "MarkOverdue",
    "SetRentalState",
    "EndRental",
    "UpsertCar",
    "MakeChange",
    "EndChange",
    "HoldIncoming",
    "AcceptIncoming",
    "ReleaseIncoming",
    "Reduce",
];
const FOLLOWING_IN_RENTAL_AND_PAYMENT: [&str; 3] = ["Cancel", "PickUp", "Change"];

/// Whether the tokens after the name of a variant make it a pattern: `Name { .. }`, or what `=>` or `|` follows.
fn is_pattern(after: &[(usize, String)]) -> bool {
    let (mut depth, mut end) = (0_usize, 0);
    for (at, (_, token)) in after.iter().enumerate() {
        match token.as_str() {
            "{" | "(" => depth += 1,
            "}" | ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            end = if at == 0 && !matches!(token.as_str(), "{" | "(" | "}" | ")") { 0 } else { at + 1 };
            break;
        }
    }
    let sign = |at: usize| after.get(at).map(|(_, token)| token.as_str());
    let has_rest = after[..end].windows(2).any(|pair| pair[0].1 == "." && pair[1].1 == ".");
    has_rest || sign(end) == Some("|") || (sign(end), sign(end + 1)) == (Some("="), Some(">"))
}

/// What the old surface asks beside: its lists count and number what they have.
const NUMBERED: [&str; 5] =
    ["cars_page", "payments_page", "rentals_page", "reservation_by_serial", "reservations_page"];

#[test]
fn the_old_surface_asks_the_service_what_the_native_api_asks() {
    let asked = |of_legacy: bool| {
        let mut asked = std::collections::BTreeSet::new();
        for source in sources().iter().filter(|source| source.path.starts_with("src/http/")) {
            if source.path.starts_with("src/http/legacy/") != of_legacy {
                continue;
            }
            let tokens = sources::tokens(&source.code);
            let calls = tokens.windows(4).filter(|it| it[0].1 == "service" && it[1].1 == "." && it[3].1 == "(");
            asked.extend(calls.map(|it| it[2].1.clone()));
        }
        asked
    };
    let (legacy, native) = (asked(true), asked(false));
    let only: Vec<_> = legacy.difference(&native).map(String::as_str).collect();
    assert_eq!(only, NUMBERED);
}

#[test]
fn what_follows_from_something_is_built_by_the_booking_process_alone() {
    let mut wrong = String::new();
    let outside = |source: &&Source| !source.path.starts_with("src/domain/") && !source.path.starts_with("src/http/");
    for source in sources().iter().filter(outside) {
        let tokens = sources::tokens(&source.code);
        let of_rental_or_payment = ["src/actors/rental.rs", "src/actors/payment/"];
        let is_of_these = of_rental_or_payment.iter().any(|path| source.path.starts_with(path));
        for (at, (line, token)) in tokens.iter().enumerate().skip(2) {
            let (context, command) = (at.checked_sub(4).map(|at| tokens[at].1.as_str()), &tokens[at - 2].1);
            if tokens[at - 1].1 != "::" || command != "Command" {
                continue;
            }
            let of_these = is_of_these || matches!(context, Some("rental" | "payment"));
            let follows = FOLLOWING.contains(&token.as_str())
                || (of_these && FOLLOWING_IN_RENTAL_AND_PAYMENT.contains(&token.as_str()));
            if follows && !is_pattern(&tokens[at + 1..]) {
                writeln!(wrong, "{}:{line} builds {token}; ask domain::process for it", source.path).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
