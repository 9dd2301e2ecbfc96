//! `--help` and `--version`: what stands there is a promise.

use crate::probe::ice_probe;

fn help(arguments: &[&str]) -> String {
    let output = ice_probe().args(arguments).output().expect("ice-probe starts");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("help is UTF-8");
    assert!(text.contains("Examples:\n  ice-probe "), "{text}");
    assert!(!text.contains('\u{1b}'), "colours only on a terminal");
    text
}

#[test]
fn of_the_program() {
    insta::assert_snapshot!("program", help(&["--help"]));
}

#[test]
fn of_demo() {
    insta::assert_snapshot!("demo", help(&["demo", "--help"]));
}

#[test]
fn of_check() {
    insta::assert_snapshot!("check", help(&["check", "--help"]));
}

#[test]
fn of_stdio() {
    insta::assert_snapshot!("stdio", help(&["stdio", "--help"]));
}

#[test]
fn of_serve() {
    insta::assert_snapshot!("serve", help(&["serve", "--help"]));
}

#[test]
fn of_connect() {
    insta::assert_snapshot!("connect", help(&["connect", "--help"]));
}

#[test]
fn of_explain() {
    insta::assert_snapshot!("explain", help(&["explain", "--help"]));
}

#[test]
fn version() {
    let output = ice_probe().arg("--version").output().expect("ice-probe starts");
    assert!(output.status.success());
    let expected = concat!("ice-probe ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
