//! Completions and manual pages name what there is.

use crate::probe::ice_probe;

fn printed(arguments: &[&str]) -> String {
    let output = ice_probe().args(arguments).output().expect("ice-probe starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is UTF-8")
}

#[test]
fn completions_know_the_commands_and_their_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&["completions", shell]);
        for word in ["explain", "redact", "controlling"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn manual_pages_are_of_the_program_and_of_its_commands() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH ice-probe 1"), "{page}");
    for word in ["ice\\-probe\\-explain", "SUBCOMMANDS", "Examples"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let page = printed(&["man", "explain"]);
    assert!(page.contains(".TH ice-probe-explain 1"), "{page}");
    assert!(page.contains("\\-\\-redact"), "{page}");
    let output = ice_probe().args(["man", "nothing"]).output().expect("ice-probe starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("explain"), "{output:?}");
}
