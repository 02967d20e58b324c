//! The page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Contents, Table, reading};
use crate::shown;

/// Rows of a table that the page shows; the file it carries has them all.
const SHOWN: usize = 24;

const STYLE: &str = "
body { font: 16px/1.5 'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; border-bottom: 1px solid #ccc; } h3 { font-size: 1rem; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; } figcaption, .small { font-size: .85rem; color: #555; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .8rem; } th, td { padding: .15rem .6rem; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #888; } td:first-child, th:first-child { text-align: left; } tr:nth-child(even) td { background: #f6f6f6; }
code, pre { font: .85rem/1.45 'DejaVu Sans Mono', Consolas, monospace; } pre { background: #f6f6f6; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.unfinished { background: #fff3cd; padding: .6rem; }
";

/// The HTML page about `contents`; `title` heads it, `commands` are the command lines that made it.
pub fn page(title: &str, contents: &Contents, commands: &[String]) -> String {
    let sentences = reading::sentences(contents);
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="generator" content={ "myopia " (env!("CARGO_PKG_VERSION")) };
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                @if contents.unfinished {
                    p class="unfinished" { "This run has not ended: what follows is what there is so far." }
                }
                @if !sentences.is_empty() {
                    h2 { "What the numbers show" }
                    ul { @for sentence in &sentences { li { (sentence) } } }
                }
                @if !contents.figures.is_empty() {
                    h2 { "Figures" }
                    @for figure in &contents.figures { (figure_of(contents, figure)) }
                }
                @if !contents.tables.is_empty() {
                    h2 { "Tables" }
                    @for (name, table, bytes) in &contents.tables { (table_of(name, table, bytes)) }
                }
                h2 { "How it was made" }
                @if !commands.is_empty() {
                    pre { @for command in commands { (command) "\n" } }
                }
                @for settings in &contents.settings {
                    h3 { (settings.name) }
                    table { @for (name, value) in &settings.fields {
                        @if let Some(text) = plain(value) { tr { td { (shown::name(&name.replace('_', " "))) } td { (text) } } }
                    } }
                }
                h2 { "Digests" }
                p class="small" { "SHA-256 of each file; the same command and version give the same on any machine." }
                div class="wide" { table { @for (name, digest) in &contents.digests {
                    tr { td { (name) } td { code { (digest) } } }
                } } }
                p class="small" { "Written by myopia " (env!("CARGO_PKG_VERSION")) "." }
            }
        }
    };
    body.into_string()
}

fn figure_of(contents: &Contents, figure: &super::folder::Figure) -> Markup {
    let name = &figure.name;
    let stem = name.trim_end_matches(".partial");
    // What it is drawn from: by name where that is not told by its own, otherwise the table whose
    // name its own begins with.
    let drawn_from = match stem {
        "plane" | "surface-trajectories" => "trajectories",
        "online" => "curves",
        _ => stem,
    };
    let table = contents.tables.iter().map(|(name, _, bytes)| (name, bytes)).filter(|(name, _)| {
        let table = name.trim_end_matches(".csv").trim_end_matches(".partial");
        drawn_from.starts_with(table)
    });
    let table = table.reduce(|a, b| if b.0.len() > a.0.len() { b } else { a });
    html! {
        figure {
            img alt=(name) src=(data("image/svg+xml", drawing(&figure.svg).as_bytes()));
            figcaption {
                (name) " · "
                (link("SVG", &format!("{name}.svg"), "image/svg+xml", figure.svg.as_bytes()))
                @if let Some(png) = &figure.png { " · " (link("PNG", &format!("{name}.png"), "image/png", png)) }
                @if let Some((table, bytes)) = table { " · " (link("CSV", table, "text/csv", bytes)) }
            }
        }
    }
}

/// The SVG element without what may stand before it in a file.
fn drawing(svg: &str) -> String {
    let element = svg.find("<svg").map_or(svg, |at| &svg[at..]);
    // With a viewBox the drawing shrinks with the page; without it would be cut off.
    let size = |name: &str| -> Option<&str> {
        element.split_once(&format!(" {name}=\""))?.1.split('"').next()
    };
    match (size("width"), size("height")) {
        (Some(width), Some(height))
            if !element[..element.find('>').unwrap_or(0)].contains("viewBox") =>
        {
            element.replacen("<svg", &format!("<svg viewBox=\"0 0 {width} {height}\""), 1)
        }
        _ => element.to_owned(),
    }
}

/// What a browser may do with the page: show the images in it and apply its own style, nothing
/// else. A figure that was tampered with cannot run anything, as an image it could not anyway.
fn policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    )
}

fn data(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

fn link(text: &str, name: &str, kind: &str, bytes: &[u8]) -> Markup {
    html! { a href=(data(kind, bytes)) download=(name) { (text) } }
}

fn table_of(name: &str, table: &Table, bytes: &[u8]) -> Markup {
    let left = table.rows.len().saturating_sub(SHOWN);
    html! {
        h3 { (name) " " span class="small" { (link("CSV", name, "text/csv", bytes)) } }
        div class="wide" {
            table {
                tr { @for column in &table.header { th { (shown::name(&column.replace('_', " "))) } } }
                @for row in table.rows.iter().take(SHOWN) {
                    tr { @for cell in row { td { (shortened(cell)) } } }
                }
            }
        }
        @if left > 0 { p class="small" { "and " (left) " rows more in the file" } }
    }
}

/// A number to four digits; any other cell as it is, unless it is long.
fn shortened(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(number) if cell.contains(['.', 'e']) => reading::brief(number),
        _ => shown::name(cell),
    }
}

/// A value that fits on a line.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Object(_) => None,
        Value::Null => Some("by default".to_owned()),
        Value::String(text) => Some(shown::name(text)),
        Value::Array(values) if values.iter().any(|v| v.is_object() || v.is_array()) => None,
        Value::Array(values) => {
            Some(values.iter().filter_map(plain).collect::<Vec<_>>().join(", "))
        }
        other => Some(other.to_string()),
    }
}
