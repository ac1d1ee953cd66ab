//! Which files import which: no circles of more than two, and the picture in ARCHITECTURE.md.

use super::none_of;
use super::sources::{Source, module_of, paths, root, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

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

/// Folders of a few files, which are drawn as a part of their layer.
const SMALL: [&str; 3] = ["actors/customer", "domain/reservation", "providers/sandbox"];

/// The layer of a file, and the folder within it that it stands in, if it is a large one.
fn room_of(file: &str) -> (String, String) {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let parts: Vec<_> = path.split('/').collect();
    let layer = match parts[0] {
        "main" | "commands" | "config" => "commands_config",
        layer => layer,
    };
    let folders = parts.len() - 1;
    let depth = if path.starts_with("store/sled/") { folders.min(3) } else { folders.min(2) };
    let folder = if layer == "commands_config" { String::new() } else { parts[..depth].join("/") };
    let is_within = folder.contains('/') && !SMALL.contains(&folder.as_str());
    (layer.to_owned(), if is_within { folder } else { layer.to_owned() })
}

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Without the arrows that follow from others.
fn reduced(arrows: &Arrows) -> Vec<(&str, &str)> {
    let all = arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from.as_str(), to.as_str())));
    let follows = |(from, to): &(&str, &str)| {
        arrows[*from].iter().any(|other| other != to && reached(arrows, other).contains(*to))
    };
    all.filter(|arrow| !follows(arrow)).collect()
}

/// The layers with their folders and the arrows between them, as a Mermaid flowchart.
fn picture(imports: &BTreeMap<String, BTreeSet<String>>) -> String {
    let (mut folders, mut layers, mut within) = (Arrows::new(), Arrows::new(), Arrows::new());
    for (file, imported) in imports.iter().filter(|(file, _)| *file != "src/lib.rs") {
        let (layer, room) = room_of(file);
        folders.entry(layer.clone()).or_default().insert(room.clone());
        for (other_layer, other_room) in imported.iter().map(|file| room_of(file)) {
            if other_layer != layer {
                layers.entry(layer.clone()).or_default().insert(other_layer);
            } else if !other_room.starts_with(&room) && !room.starts_with(&other_room) {
                within.entry(room.clone()).or_default().insert(other_room);
            }
        }
    }
    let id = |room: &str| room.replace('/', "_");
    let mut text = "```mermaid\nflowchart TD\n".to_owned();
    for (layer, rooms) in &folders {
        if rooms.len() == 1 {
            writeln!(text, "    {layer}[{}]", layer.replace('_', ", ")).unwrap();
            continue;
        }
        writeln!(text, "    subgraph {layer}").unwrap();
        for room in rooms.iter().filter(|room| *room != layer) {
            writeln!(text, "        {}[{}]", id(room), room.split_once('/').unwrap().1).unwrap();
        }
        for (from, to) in reduced(&within).iter().filter(|(from, _)| rooms.contains(*from)) {
            writeln!(text, "        {} --> {}", id(from), id(to)).unwrap();
        }
        writeln!(text, "    end").unwrap();
    }
    for (from, to) in reduced(&layers) {
        writeln!(text, "    {from} --> {to}").unwrap();
    }
    text + "```"
}

#[test]
fn the_picture_of_the_modules_is_made_from_the_sources() {
    const BEGIN: &str = "<!-- modules:begin -->\n";
    const END: &str = "\n<!-- modules:end -->";
    let file = root().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("ARCHITECTURE.md has a place for the picture");
    let (shown, after) = rest.split_once(END).expect("the place ends");
    let made = picture(&imports(&sources()));
    if std::env::var_os("RENTCAR_WRITE_DOCS").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, made, "make it with RENTCAR_WRITE_DOCS=1 cargo test --test architecture");
    }
}
