//! The architecture as rules that are checked: which layer may know which, where the troublesome crates stay, what
//! no file may do. Reads the sources as text, knows nothing of what they mean, and tells what to do instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The most lines of a source file.
const LINES_MAX: usize = 600;

/// What a layer may know of the crate; `ANY` of them know everything.
const LAYERS: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("suggestion", &[]),
    ("trace", &[]),
    ("store", &["domain", "trace"]),
    ("providers", &["domain", "trace"]),
    ("cluster", &["domain", "store", "trace"]),
    ("actors", &["domain", "store", "providers", "cluster", "trace"]),
    // The narrow doors of `http` are in `DOORS`.
    ("http", &["domain", "suggestion", "trace"]),
];

/// Those who put everything together.
const ANY: [&str; 4] = ["main", "lib", "config", "commands"];

/// Exceptions that are allowed beside the layers: who, and which path.
const DOORS: [(&str, &str); 7] = [
    // The front door asks the service, in its words, and shows the bulkhead to operators.
    ("src/http/", "actors::api"),
    ("src/http/", "actors::service"),
    ("src/http/admin.rs", "actors::bulkhead"),
    // The record of a whole request that was answered before.
    ("src/http/idempotency.rs", "store::journal::CommandRecord"),
    ("src/http/response_store.rs", "store::journal::CommandRecord"),
    // The routes of the sandbox provider.
    ("src/http/provider.rs", "providers"),
    ("src/http/routes.rs", "providers::sandbox"),
];

/// Dependencies that are forbidden although the layers would allow them: who, which path, and why.
const WALLS: [(&str, &str, &str); 10] = [
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
const CRATES: [(&str, &[&str]); 7] = [
    ("bincode", &["src/store/codec.rs"]),
    ("ractor", &["src/actors/"]),
    // As a crate its paths begin with `::`, as our own adapter they do not.
    ("::sled", &["src/store/sled/"]),
    ("warp", &["src/http/", "src/commands/"]),
    ("hyper", &["src/http/"]),
    ("hyper_util", &["src/http/"]),
    ("reqwest", &["src/providers/remote.rs", "src/commands/"]),
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

struct Source {
    /// From the root of the project, with `/`.
    path: String,
    text: String,
    /// Without comments, the contents of literals, and whatever is compiled for tests only.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

fn sources() -> Vec<Source> {
    let mut files = vec![];
    files_below(&root().join("src"), &mut files);
    let source = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = without_tests(&without_comments_and_literals(&text));
        Source { path: relative(&file), text, code }
    };
    let rust = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<_> = rust.filter(|file| !relative(file).ends_with("tests.rs")).map(source).collect();
    assert!(sources.len() > 100, "the sources were not found");
    sources
}

/// The code with blanks where comments and the contents of literals are; lines stay where they are.
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            ('r', Some('"' | '#')) if !is_word(at.checked_sub(1).map(|before| chars[before])) => raw_end(&chars, at),
            ('\'', Some('\\')) => (at + 3..chars.len()).find(|&end| chars[end] == '\'').unwrap_or(at) + 1,
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&char| if char == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

fn is_word(char: Option<char>) -> bool {
    char.is_some_and(|char| char.is_alphanumeric() || char == '_')
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&at| chars[at] == '\n').unwrap_or(chars.len())
}

fn comment_end(chars: &[char], from: usize) -> usize {
    (from + 3..chars.len()).find(|&at| chars[at - 1] == '*' && chars[at] == '/').map_or(chars.len(), |at| at + 1)
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r"…"` or `r#"…"#`, or `from` when it is none.
fn raw_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|&&char| char == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let body = from + 2 + hashes;
    let ends = |at: usize| chars[at] == '"' && (1..=hashes).all(|more| chars.get(at + more) == Some(&'#'));
    (body..chars.len()).find(|&at| ends(at)).map_or(chars.len(), |at| at + 1 + hashes)
}

/// Blanks the items that stand under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut rest = code;
    let mut kept = String::with_capacity(code.len());
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let (mut depth, mut end) = (0_usize, rest.len());
        for (offset, char) in rest[at + MARK.len()..].char_indices() {
            match char {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(char, '}' | ';') {
                end = at + MARK.len() + offset + 1;
                break;
            }
        }
        kept.extend(rest[at..end].chars().filter(|&char| char == '\n'));
        rest = &rest[end..];
    }
    kept + rest
}

/// A word, or `::`, or another sign, with the line it stands in.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens: Vec<(usize, String)> = vec![];
    let mut inside_word = false;
    let mut line = 1;
    for char in code.chars() {
        let word = is_word(Some(char));
        match tokens.last_mut() {
            Some((_, last)) if word && inside_word => last.push(char),
            Some((_, last)) if char == ':' && last == ":" => last.push(char),
            _ if char.is_whitespace() => {}
            _ => tokens.push((line, char.to_string())),
        }
        inside_word = word;
        line += usize::from(char == '\n');
    }
    tokens
}

/// Every path that the code names from `crate`, `super` or `rentcar` on, resolved from the crate's root.
fn paths(source: &Source) -> Vec<(usize, String)> {
    let tokens = tokens(&source.code);
    let here = module_of(&source.path);
    let mut found = vec![];
    for (at, (_, token)) in tokens.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).map(|at| tokens[at].1.as_str());
        // `pub(crate)` is no path.
        let is_visibility = (before(2), before(1)) == (Some("pub"), Some("("));
        let begins = matches!(token.as_str(), "crate" | "super" | "rentcar") && !is_visibility;
        if begins && (at == 0 || tokens[at - 1].1 != "::") {
            follow(&tokens, at, vec![], &here, &mut found);
        }
    }
    found
}

fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| *part != "mod").map(str::to_owned).collect()
}

/// Follows one path from a token on, into every branch of a `use` tree; returns where it ends.
fn follow(
    tokens: &[(usize, String)],
    mut at: usize,
    mut path: Vec<String>,
    here: &[String],
    found: &mut Vec<(usize, String)>,
) -> usize {
    let line = tokens[at].0;
    loop {
        match tokens[at].1.as_str() {
            "crate" | "rentcar" => path = vec![String::new()],
            "super" if path.is_empty() => path = [&[String::new()], &here[..here.len() - 1]].concat(),
            "super" => drop(path.pop()),
            word => path.push(word.to_owned()),
        }
        let next = |offset: usize| tokens.get(at + offset).map(|(_, token)| token.as_str());
        if next(1) != Some("::") {
            break;
        }
        if next(2) == Some("{") {
            at += 2;
            while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                at += 1;
                if is_word(tokens.get(at).and_then(|(_, token)| token.chars().next())) {
                    at = follow(tokens, at, path.clone(), here, found);
                }
                // `as` and the new name, which is of no interest.
                while tokens.get(at).is_some_and(|(_, token)| !matches!(token.as_str(), "," | "}")) {
                    at += 1;
                }
            }
            return at + 1;
        }
        if !is_word(next(2).and_then(|token| token.chars().next())) {
            break;
        }
        at += 2;
    }
    found.push((line, path[1..].join("::")));
    at + 1
}

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
    let mut unused = DOORS.to_vec();
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
            let door = DOORS.iter().any(opens);
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
         is added to DOORS in this test with its reason, and to ARCHITECTURE.md.",
    );
}

#[test]
fn walls_within_the_layers_stand() {
    let mut broken = vec![];
    for source in sources() {
        for (who, what, why) in WALLS {
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
        let outside = source.path.starts_with("src/http/");
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
         Query::number, Members::number), and what was stored is read by `stored`, or stores made before lose what \
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

/// The file of a module, by its path.
fn file_of<'a>(files: &'a BTreeMap<Vec<String>, String>, module: &[String]) -> Option<(&'a [String], &'a str)> {
    files.get_key_value(module).map(|(module, file)| (module.as_slice(), file.as_str()))
}

/// What the face of a folder hands on: the module within it that each name comes from.
fn handed_on(source: &Source) -> BTreeMap<String, Vec<String>> {
    let here = module_of(&source.path);
    let mut handed_on = BTreeMap::new();
    for statement in source.code.split(';').filter(|statement| statement.contains("pub")) {
        let Some((_, tree)) = statement.rsplit_once(" use ") else { continue };
        let Some((path, names)) = tree.rsplit_once("::") else { continue };
        let from: Vec<_> = here.iter().cloned().chain(path.split("::").map(|part| part.trim().to_owned())).collect();
        for name in names.trim_matches(['{', '}', ' ', '\n']).split(',').map(str::trim) {
            handed_on.insert(name.to_owned(), from.clone());
        }
    }
    handed_on
}

/// Which files each file imports something from; what a folder's face only hands on is imported from where it stands.
fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<_, _> = sources.iter().map(|source| (module_of(&source.path), source.path.clone())).collect();
    let faces: BTreeMap<_, _> = sources.iter().map(|source| (module_of(&source.path), handed_on(source))).collect();
    let imported = |path: &str| {
        let mut parts: Vec<_> = path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        loop {
            let known = (0..=parts.len()).rev().find_map(|length| file_of(&files, &parts[..length]));
            let (module, file) = known?;
            match parts.get(module.len()).and_then(|name| faces[module].get(name)) {
                Some(from) if from.as_slice() != module => {
                    parts = from.iter().chain(&parts[module.len()..]).cloned().collect();
                }
                _ => return Some(file.to_owned()),
            }
        }
    };
    let of = |source: &Source| -> BTreeSet<String> {
        paths(source).iter().filter_map(|(_, path)| imported(path)).filter(|file| *file != source.path).collect()
    };
    sources.iter().map(|source| (source.path.clone(), of(source))).collect()
}

/// All files that are imported by these, directly or by others.
fn reached(imports: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(file) = waiting.pop() {
        for next in imports.get(&file).into_iter().flatten() {
            if reached.insert(next.clone()) {
                waiting.push(next.clone());
            }
        }
    }
    reached
}

#[test]
fn no_more_than_two_files_import_each_other_in_a_circle_and_they_are_neighbours() {
    let sources = sources();
    let mut imports = imports(&sources);
    // A folder's face knows what is in the folder and is known to it.
    imports.retain(|file, _| !file.ends_with("/mod.rs"));
    let reach: BTreeMap<_, _> = imports.keys().map(|file| (file.clone(), reached(&imports, file))).collect();
    let circle_of = |file: &String| -> BTreeSet<String> {
        reach[file].iter().filter(|other| reach.get(*other).is_some_and(|back| back.contains(file))).cloned().collect()
    };
    let circles: BTreeSet<_> = reach.keys().map(circle_of).filter(|circle| circle.len() > 1).collect();
    let room = |file: &String| file.rsplit_once('/').map(|(room, _)| room.to_owned());
    let is_small =
        |circle: &BTreeSet<String>| circle.len() == 2 && circle.iter().map(room).collect::<BTreeSet<_>>().len() == 1;
    let broken: Vec<_> =
        circles.iter().filter(|circle| !is_small(circle)).map(|circle| format!("{circle:?}")).collect();
    none_of(&broken, "Move what both sides need beneath them, into a file that knows neither.");
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 500, "the imports were not found");
}
