//! The page: that it needs nothing else, and what a browser makes of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{TWO_SIDES, explained, log, own};
use crate::requirement::lacking;

fn page(name: &str, input: &str) -> (PathBuf, String) {
    let path = own(&format!("{name}.html"));
    explained(&["--html", path.to_str().expect("the path is UTF-8")], input);
    let text = std::fs::read_to_string(&path).expect("the page was written");
    (path, text)
}

#[test]
fn it_needs_nothing_else() {
    for (name, input) in [("relay", log("relay")), ("sides", TWO_SIDES.to_owned())] {
        let (_, text) = page(name, &input);
        for word in ["http://", "https://", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!text.contains(word), "{name}: {word}");
        }
        for word in ["prefers-color-scheme: dark", "width=device-width", "default-src 'none'"] {
            assert!(text.contains(word), "{name}: {word}");
        }
    }
}

/// What is drawn of the relay's log: every pair, every refused SYN's attempt,
/// nominations and the path.
#[test]
fn it_draws_what_the_object_tells() {
    let (_, text) = page("drawn", &log("relay"));
    let object: Value = serde_json::from_str(&explained(&["--json"], &log("relay"))).expect("JSON");
    let agent = &object["agents"][0];
    let count = |key: &str| agent[key].as_array().map_or(0, Vec::len);
    let labels = |label: &str| text.matches(&format!("aria-label=\"{label}")).count();
    assert_eq!(labels("Checks of pair "), count("pairs"));
    assert_eq!(labels("Attempts to connect"), count("connections"));
    assert_eq!(labels("The path of component 1"), 1);
    assert!(count("connections") > 0 && text.contains("<use href=\"#syn\""));
    assert!(text.contains("<use href=\"#nominates\"") && text.contains("<use href=\"#selected\""));
}

/// What a browser measures in a frame of this width.
const MEASURE: &str = r#"
const page = document.querySelector('iframe').contentDocument;
const box = element => element.getBoundingClientRect();
const marks = [...page.querySelectorAll('use')];
const svgs = [...page.querySelectorAll('.row svg')];
const within = mark => {
  const [own, outer] = [box(mark), box(mark.ownerSVGElement)];
  return own.width + own.height > 0 && own.left >= outer.left - 9 && own.right <= outer.right + 9;
};
document.body.textContent = JSON.stringify({
  width: page.documentElement.scrollWidth,
  marks: marks.length,
  strayed: marks.filter(mark => !within(mark)).length,
  narrowest: Math.min(...svgs.map(svg => box(svg).width)),
  smallest: Math.min(...[...page.querySelectorAll('p, li, td, .mono, .badge')]
    .map(element => parseFloat(page.defaultView.getComputedStyle(element).fontSize))),
  background: page.defaultView.getComputedStyle(page.body).backgroundColor,
  text: page.defaultView.getComputedStyle(page.body).color,
});
"#;

/// The page in a frame of `width` pixels, as the browser sees it.
fn measured(browser: &str, page: &str, width: u32, is_dark: bool) -> Value {
    let inner = page.replace('&', "&amp;").replace('"', "&quot;");
    let frame = format!(
        "<!DOCTYPE html><meta charset=utf-8><body><iframe width={width} height=800 style=\"border:0\" \
         srcdoc=\"{inner}\" onload=\"measure()\"></iframe>\
         <script>function measure() {{ {MEASURE} }}</script>"
    );
    // Within an attribute its own quotes would end it: the function stands in a script.
    let path = own(&format!("frame-{width}-{is_dark}.html"));
    std::fs::write(&path, frame).expect("a file of our own");
    let profile = own(&format!("profile-{width}-{is_dark}"));
    let mut command = Command::new("timeout");
    command.args(["60", browser, "--headless", "--no-sandbox", "--disable-gpu"]);
    command.args(["--window-size=1300,900", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    // 0 is dark, 1 is light.
    command.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!is_dark)));
    let output = command.arg(url(&path)).output().expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout);
    let object = dom.find("{\"width\"").and_then(|from| Some(&dom[from..=dom.rfind('}')?]));
    let object = object.unwrap_or_else(|| panic!("nothing was measured: {output:?}"));
    serde_json::from_str(object).unwrap_or_else(|error| panic!("{object}: {error}"))
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// How light a colour is, of `rgb(1, 2, 3)`: 0 to 255.
fn light(colour: &Value) -> u32 {
    let text = colour.as_str().expect("a colour");
    let numbers = text.trim_start_matches("rgb(").trim_end_matches(')').split(", ");
    numbers.map(|number| number.parse::<u32>().expect("a number")).sum::<u32>() / 3
}

#[test]
fn a_browser_shows_it_on_a_phone_and_in_the_dark() {
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "chrome"];
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let Some(browser) = names.into_iter().find(runs) else {
        return lacking("chromium", "there is no chromium");
    };
    let (_, text) = page("shown", &log("relay"));
    for (width, is_dark) in [(360, false), (360, true), (1100, false), (1100, true)] {
        let seen = measured(browser, &text, width, is_dark);
        let number = |key: &str| seen[key].as_f64().unwrap_or_else(|| panic!("{key}: {seen}"));
        assert!(number("width") <= f64::from(width), "it scrolls sideways: {seen}");
        assert!(number("marks") > 20.0 && number("strayed") == 0.0, "{seen}");
        assert!(number("narrowest") > f64::from(width) * 0.75, "{seen}");
        assert!(number("smallest") >= 12.0, "{seen}");
        let (background, text) = (light(&seen["background"]), light(&seen["text"]));
        assert_eq!(background < 64 && text > 192, is_dark, "{seen}");
        assert_eq!(background > 192 && text < 64, !is_dark, "{seen}");
    }
}
