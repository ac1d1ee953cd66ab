//! Reading the sources: code without comments, literals and tests, and the paths that it names.

use std::path::{Path, PathBuf};

pub struct Source {
    /// From the root of the project, with `/`.
    pub path: String,
    pub text: String,
    /// Without comments, the contents of literals, and whatever is compiled for tests only.
    pub code: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

pub fn sources() -> Vec<Source> {
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
pub fn without_comments_and_literals(text: &str) -> String {
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

pub fn is_word(char: Option<char>) -> bool {
    char.is_some_and(|char| char.is_alphanumeric() || char == '_')
}

pub fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&at| chars[at] == '\n').unwrap_or(chars.len())
}

pub fn comment_end(chars: &[char], from: usize) -> usize {
    (from + 3..chars.len()).find(|&at| chars[at - 1] == '*' && chars[at] == '/').map_or(chars.len(), |at| at + 1)
}

pub fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r"…"` or `r#"…"#`, or `from` when it is none.
pub fn raw_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|&&char| char == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let body = from + 2 + hashes;
    let ends = |at: usize| chars[at] == '"' && (1..=hashes).all(|more| chars.get(at + more) == Some(&'#'));
    (body..chars.len()).find(|&at| ends(at)).map_or(chars.len(), |at| at + 1 + hashes)
}

/// Blanks the items that stand under `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
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
pub fn tokens(code: &str) -> Vec<(usize, String)> {
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
pub fn paths(source: &Source) -> Vec<(usize, String)> {
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

pub fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| *part != "mod").map(str::to_owned).collect()
}

/// Follows one path from a token on, into every branch of a `use` tree; returns where it ends.
pub fn follow(
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
