//! The links of the notes lead somewhere: to a symbol that is defined in the
//! file, and to a test that exists and runs.

use std::path::{Path, PathBuf};

use crate::notes;
use crate::source::{without_comments, words};
use crate::{read, root};

#[test]
fn code_links_lead_to_symbols() {
    each_link(|requirement| &requirement.code, check_code);
}

#[test]
fn test_links_lead_to_tests_that_run() {
    each_link(|requirement| &requirement.tests, check_test);
}

fn each_link(
    links: impl Fn(&notes::Requirement) -> &Vec<String>,
    check: impl Fn(&str) -> Result<(), String>,
) {
    let mut problems = Vec::new();
    for notes in notes::all() {
        for requirement in &notes.requirements {
            for link in links(requirement) {
                if let Err(problem) = check(link) {
                    problems.push(format!("{}: {}: {problem}", notes.path, requirement.id));
                }
            }
        }
    }
    crate::expect_none(&problems);
}

/// `path#symbol` or `path#Type::member`.
fn check_code(link: &str) -> Result<(), String> {
    let (path, symbol) = link.split_once('#').ok_or(format!("`{link}` is not path#symbol"))?;
    if !root().join(path).is_file() {
        return Err(format!("there is no {path}"));
    }
    let code = without_comments(&read(path));
    let (owner, name) = match symbol.rsplit_once("::") {
        Some((owner, name)) => (Some(owner), name),
        None => (None, symbol),
    };
    let owned = owner.is_none_or(|owner| words(&code, owner).next().is_some());
    if owned && defines(&code, name) {
        Ok(())
    } else {
        Err(format!("{path} does not define {symbol}"))
    }
}

/// Whether `code` defines `name`: an item, or a variant or field, which is the
/// first word of its line.
fn defines(code: &str, name: &str) -> bool {
    const ITEMS: &[&str] = &[
        "fn",
        "struct",
        "enum",
        "trait",
        "const",
        "static",
        "type",
        "mod",
        "union",
        "macro_rules!",
    ];
    words(code, name).any(|at| {
        let before = code[..at].trim_end();
        let after = code[at + name.len()..].trim_start();
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        ITEMS.iter().any(|item| {
            before.ends_with(item) && words(&before[before.len() - item.len()..], item).count() == 1
        }) || (["", "pub", "pub(crate)", "pub(super)"].contains(&line)
            && after.starts_with([',', '(', '{', ':', '=', '}'])
            && !after.starts_with("::"))
    })
}

/// `module::path::test`, of the library, of `tests/` or of the program.
fn check_test(link: &str) -> Result<(), String> {
    let segments: Vec<&str> = link.split("::").collect();
    let (name, modules) = segments.split_last().ok_or("an empty link")?;
    let Some((first, rest)) = modules.split_first() else {
        return Err(format!("`{link}` names no module"));
    };
    // Where the path may start, the file there, and how many modules are used up.
    let mut starts: Vec<(PathBuf, &[&str])> = vec![("src".into(), modules)];
    if root().join(format!("tests/{first}.rs")).is_file() {
        // In the root file of a test, modules stand beside it.
        if has_test(Path::new(&format!("tests/{first}.rs")), rest, name) {
            return Ok(());
        }
        starts.push(("tests".into(), rest));
    }
    if root().join(format!("tests/{first}/main.rs")).is_file() {
        if has_test(Path::new(&format!("tests/{first}/main.rs")), rest, name) {
            return Ok(());
        }
        starts.push((format!("tests/{first}").into(), rest));
    }
    if *first == "ice_probe" {
        starts.push(("src/bin/ice-probe".into(), rest));
    }
    for (start, modules) in starts {
        let mut dir = start;
        for (used, module) in modules.iter().enumerate() {
            let inline = &modules[used + 1..];
            let files = [dir.join(format!("{module}.rs")), dir.join(module).join("mod.rs")];
            dir.push(module);
            if files.iter().any(|file| has_test(file, inline, name)) {
                return Ok(());
            }
        }
    }
    Err(format!("there is no test {link} that runs"))
}

/// Whether `file` has, within the inline modules, a test `name` that is not
/// ignored.
fn has_test(file: &Path, inline: &[&str], name: &str) -> bool {
    if !root().join(file).is_file() {
        return false;
    }
    let code = without_comments(&read(file));
    let within =
        inline.iter().all(|module| words(&code, &format!("mod {module}")).next().is_some());
    let signature = format!("fn {name}");
    within && words(&code, &signature).any(|at| runs(&code[..at]))
}

/// Whether the attributes at the end of `before` make the function after it a
/// test that runs.
fn runs(before: &str) -> bool {
    let attributes = before.rsplit(['}', ';', '{']).next().unwrap_or_default();
    (attributes.contains("test]") || attributes.contains("::test("))
        && words(attributes, "ignore").next().is_none()
}

#[test]
fn links_are_told_from_dead_ones() {
    assert_eq!(check_code("tests/meta/links.rs#check_code"), Ok(()));
    assert_eq!(check_code("tests/meta/notes.rs#Requirement::code"), Ok(()));
    assert_eq!(check_code("tests/meta/notes.rs#Level::Must"), Ok(()));
    assert!(check_code("tests/meta/notes.rs#Must2").is_err());
    assert!(check_code("tests/meta/none.rs#Level").is_err());
    assert!(check_code("tests/meta/notes.rs").is_err());
    assert_eq!(check_test("meta::links::links_are_told_from_dead_ones"), Ok(()));
    assert_eq!(check_test("timer::tests::time_saturates"), Ok(()));
    assert!(check_test("meta::links::runs").is_err(), "not a test");
    assert!(check_test("timer::tests::no_such_test").is_err());
    assert!(check_test("timer::other::time_saturates").is_err(), "no such module");
}

#[test]
fn ignored_tests_do_not_count() {
    assert!(runs("} #[test] "));
    assert!(runs("} #[tokio::test(flavor = ( ))] async "));
    assert!(!runs("} #[test] fn a() {} "));
    let ignored = "} #[test] #[ignore = ( )] ";
    assert!(!runs(ignored));
}
