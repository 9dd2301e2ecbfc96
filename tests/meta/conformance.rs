//! The totals of the notes, and the table of the README that shows them.

use crate::notes::{self, Level, Notes, Status};
use crate::read;

const BEGIN: &str = "<!-- conformance:begin -->";
const END: &str = "<!-- conformance:end -->";

/// The README's table: one row an RFC.
fn table() -> String {
    let mut out = String::from(
        "| RFC | MUST: done | of | all: done | partial | deviates | todo | n/a |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut all = notes::all();
    all.sort_by_key(|notes| notes.number.parse::<u32>().unwrap_or(u32::MAX));
    for notes in &all {
        let count = |status| counted(notes, |_| true, &[status]);
        let is_must = |level| level == Level::Must;
        let every = [Status::Done, Status::Type, Status::Partial, Status::Todo, Status::Deviates];
        out += &format!(
            "| [{}](rfc-notes/rfc{}.md) {} | {} | {} | {} | {} | {} | {} | {} |\n",
            notes.number,
            notes.number,
            notes.title,
            counted(notes, is_must, &every[..2]),
            counted(notes, is_must, &every),
            counted(notes, |_| true, &every[..2]),
            count(Status::Partial),
            count(Status::Deviates),
            count(Status::Todo),
            count(Status::NotApplicable),
        );
    }
    out
}

/// How many requirements of the levels have one of the statuses.
fn counted(notes: &Notes, level: impl Fn(Level) -> bool, statuses: &[Status]) -> usize {
    let requirements = notes.requirements.iter();
    requirements.filter(|r| level(r.level) && statuses.contains(&r.status)).count()
}

#[test]
fn the_readme_shows_the_totals() {
    let table = table();
    println!("{table}");
    let readme = read("README.md");
    let (before, rest) = readme
        .split_once(BEGIN)
        .unwrap_or_else(|| panic!("README.md lacks `{BEGIN}` and `{END}`; between them:\n{table}"));
    let (shown, after) = rest.split_once(END).unwrap_or_else(|| panic!("README.md lacks `{END}`"));
    if shown.trim() == table.trim() {
        return;
    }
    assert!(
        crate::may_write(),
        "the README's table is not right; `FLOE_WRITE=1 cargo test --test meta` writes:\n{table}"
    );
    let text = format!("{before}{BEGIN}\n{table}{END}{after}");
    std::fs::write(crate::root().join("README.md"), text).expect("the README can be written");
}
