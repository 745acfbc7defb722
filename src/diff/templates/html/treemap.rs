//! A treemap of installed size by package, growth and shrinkage coloured: squarified (Bruls, Huizing and van Wijk, "Squarified
//! Treemaps", 2000), drawn once for wide screens and once for narrow ones.

use std::fmt::Write as _;

use super::escape;
use crate::diff::report::size::{bytes, growth};
use crate::diff::templates::Size;

/// What takes less than this part of all is drawn as one.
const SMALL: f64 = 0.0015;
/// Growth and shrinkage by more than this part of a package is strong.
const STRONG: f64 = 0.1;
/// About the width of a letter of labels, in the drawing's units.
const LETTER: f64 = 6.6;

/// The classes of what happened to a size, and their words.
const LEGEND: &[(&str, &str)] = &[
    ("m-new", "added"),
    ("m-grow-2", "grew by more than a tenth"),
    ("m-grow-1", "grew"),
    ("m-same", "the same"),
    ("m-shrink-1", "shrank"),
    ("m-shrink-2", "shrank by more than a tenth"),
    ("m-gone", "removed"),
];

struct Tile {
    label: String,
    old: Option<u64>,
    new: Option<u64>,
    weight: f64,
}

/// A rectangle of the drawing.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The figure with its legend; nothing when no size is known.
pub(super) fn figure(sizes: &[Size]) -> String {
    let tiles = tiles(sizes);
    if tiles.is_empty() {
        return String::new();
    }
    let mut html = "<section aria-labelledby=\"sizes\">\n<header><h2 id=\"sizes\">Installed size by package</h2></header>\n<figure>\n".to_owned();
    for (class, width, height) in [("wide", 1160.0, 460.0), ("narrow", 360.0, 480.0)] {
        push_drawing(&mut html, class, &tiles, Area { x: 0.0, y: 0.0, width, height });
    }
    html.push_str("<figcaption><ul class=\"legend\">\n");
    for (class, words) in LEGEND.iter().filter(|(class, _)| tiles.iter().any(|tile| tile.class() == *class)) {
        let _ = writeln!(
            html,
            "<li><svg viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"1\" height=\"1\"/></svg>{words}</li>"
        );
    }
    html.push_str("</ul></figcaption></figure>\n</section>");
    html
}

/// The largest first, what is small as one at the end.
fn tiles(sizes: &[Size]) -> Vec<Tile> {
    let weight = |size: &Size| number(size.new.or(size.old).unwrap_or_default());
    let all: f64 = sizes.iter().map(weight).sum();
    let (large, small): (Vec<&Size>, Vec<&Size>) =
        sizes.iter().filter(|size| weight(size) > 0.0).partition(|size| weight(size) >= all * SMALL);
    let mut tiles: Vec<Tile> = large
        .iter()
        .map(|size| Tile { label: size.package.clone(), old: size.old, new: size.new, weight: weight(size) })
        .collect();
    tiles.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.label.cmp(&b.label)));
    if !small.is_empty() {
        let sum = |of: &dyn Fn(&Size) -> Option<u64>| Some(small.iter().filter_map(|size| of(size)).sum());
        let weight = small.iter().map(|size| weight(size)).sum();
        let label = format!("{} smaller packages", small.len());
        tiles.push(Tile { label, old: sum(&|size| size.old), new: sum(&|size| size.new), weight });
    }
    tiles
}

impl Tile {
    fn class(&self) -> &'static str {
        match (self.old, self.new) {
            (None, _) => "m-new",
            (_, None) => "m-gone",
            (Some(old), Some(new)) if old == new => "m-same",
            (Some(old), Some(new)) => {
                let strong = number(old.abs_diff(new)) > number(old) * STRONG;
                match (new > old, strong) {
                    (true, true) => "m-grow-2",
                    (true, false) => "m-grow-1",
                    (false, true) => "m-shrink-2",
                    (false, false) => "m-shrink-1",
                }
            }
        }
    }

    fn delta(&self) -> String {
        match (self.old, self.new) {
            (Some(old), Some(new)) if old == new => bytes(new),
            (Some(old), Some(new)) => format!("{} ({})", bytes(new), growth(new.cast_signed() - old.cast_signed())),
            (None, new) => format!("{}, added", bytes(new.unwrap_or_default())),
            (Some(old), None) => format!("{}, removed", bytes(old)),
        }
    }
}

fn push_drawing(html: &mut String, class: &str, tiles: &[Tile], area: Area) {
    let _ = writeln!(
        html,
        "<svg class=\"map {class}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Packages by installed size; the table of \
         packages has the numbers of those that changed\">",
        area.width, area.height
    );
    let weights: Vec<f64> = tiles.iter().map(|tile| tile.weight).collect();
    for (tile, Area { x, y, width, height }) in tiles.iter().zip(squarify(&weights, area)) {
        let (label, delta) = (&tile.label, tile.delta());
        let _ = write!(
            html,
            "<g><title>{}: {}</title><rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            escape(label),
            escape(&delta),
            tile.class()
        );
        let room = letters(width - 10.0);
        if room >= 4 && height >= 20.0 && (label.chars().count() <= room || room >= 8) {
            let _ =
                write!(html, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 6.0, y + 16.0, escape(&cut(label, room)));
            if height >= 36.0 && delta.chars().count() <= room {
                let (x, y) = (x + 6.0, y + 30.0);
                let _ = write!(html, "<text class=\"delta\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(&delta));
            }
        }
        html.push_str("</g>\n");
    }
    html.push_str("</svg>\n");
}

/// A number of bytes for drawing, where the last bits do not matter.
#[allow(clippy::cast_precision_loss, reason = "a drawing is not that precise")]
fn number(bytes: u64) -> f64 {
    bytes as f64
}

/// How many letters have room.
#[allow(clippy::cast_sign_loss, reason = "it is not below 0")]
fn letters(width: f64) -> usize {
    (width / LETTER).max(0.0) as usize
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room { text.to_owned() } else { text.chars().take(room - 1).chain(['…']).collect() }
}

/// Rectangles with these weights, which fill an area, each as near to a square as rows allow.
fn squarify(weights: &[f64], area: Area) -> Vec<Area> {
    let mut placed = Vec::with_capacity(weights.len());
    let mut left = area;
    let mut rest = weights;
    while !rest.is_empty() {
        let scale = left.width * left.height / rest.iter().sum::<f64>();
        let side = left.width.min(left.height);
        let mut count = 1;
        while count < rest.len() && worst(&rest[..=count], scale, side) <= worst(&rest[..count], scale, side) {
            count += 1;
        }
        let (row, others) = rest.split_at(count);
        let depth = row.iter().sum::<f64>() * scale / side;
        let mut along = 0.0;
        for weight in row {
            let length = weight * scale / depth;
            placed.push(if left.width >= left.height {
                Area { x: left.x, y: left.y + along, width: depth, height: length }
            } else {
                Area { x: left.x + along, y: left.y, width: length, height: depth }
            });
            along += length;
        }
        left = if left.width >= left.height {
            Area { x: left.x + depth, width: (left.width - depth).max(0.0), ..left }
        } else {
            Area { y: left.y + depth, height: (left.height - depth).max(0.0), ..left }
        };
        rest = others;
    }
    placed
}

/// The largest ratio of sides in a row along a side.
fn worst(row: &[f64], scale: f64, side: f64) -> f64 {
    let sum = row.iter().sum::<f64>() * scale;
    let (least, most) = row.iter().fold((f64::MAX, 0.0_f64), |(least, most), w| (least.min(*w), most.max(*w)));
    let square = side * side;
    (square * most * scale / (sum * sum)).max(sum * sum / (square * least * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_fill_the_area_by_weight() {
        let weights = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0];
        let area = Area { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        let placed = squarify(&weights, area);
        for (weight, Area { x, y, width, height }) in weights.iter().zip(&placed) {
            assert!((width * height - weight).abs() < 1e-9);
            assert!(*x >= 0.0 && *y >= 0.0 && x + width < 6.0 + 1e-9 && y + height < 4.0 + 1e-9);
        }
        // The example of the paper: the first two share a column of width 3.
        assert_eq!(placed[0], Area { x: 0.0, y: 0.0, width: 3.0, height: 2.0 });
        assert_eq!(placed[1], Area { x: 0.0, y: 2.0, width: 3.0, height: 2.0 });
    }

    #[test]
    fn what_happened_to_a_size_has_a_class() {
        let class = |old, new| Tile { label: String::new(), old, new, weight: 1.0 }.class();
        assert_eq!(class(None, Some(1)), "m-new");
        assert_eq!(class(Some(1), None), "m-gone");
        assert_eq!(class(Some(100), Some(111)), "m-grow-2");
        assert_eq!(class(Some(100), Some(101)), "m-grow-1");
        assert_eq!(class(Some(100), Some(99)), "m-shrink-1");
        assert_eq!(class(Some(100), Some(10)), "m-shrink-2");
        assert_eq!(class(Some(100), Some(100)), "m-same");
    }
}
