//! Plots as SVG, drawn by hand: a page that holds them needs nothing from anywhere.

use std::fmt::Write as _;

/// A number with few digits and no trailing zeros.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text that may stand in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// A bar with the interval that its true length lies in.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// What is written behind it.
    pub(super) note: String,
}

/// Bars from 0 to `most`, one below the other.
pub(super) fn bars(bars: &[Bar], most: f64, class: &str) -> String {
    const ROW: usize = 22;
    const LEFT: f64 = 190.0;
    const WIDTH: f64 = 420.0;
    const RIGHT: f64 = 130.0;
    let height = bars.len() * ROW + 8;
    let x = |value: f64| LEFT + WIDTH * (value / most).clamp(0.0, 1.0);
    let mut out = format!(
        "<svg viewBox=\"0 0 {} {height}\" class=\"{class}\" role=\"img\">",
        number(LEFT + WIDTH + RIGHT)
    );
    for (index, bar) in bars.iter().enumerate() {
        let top = index * ROW + 4;
        let middle = top + 9;
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{}\" height=\"16\"/>\
             <path d=\"M{} {middle}H{}\"/>\
             <text x=\"{}\" y=\"{}\" class=\"note\">{}</text>",
            LEFT - 8.0,
            top + 13,
            escaped(&bar.name),
            number((x(bar.value) - LEFT).max(0.5)),
            number(x(bar.low)),
            number(x(bar.high)),
            number(LEFT + WIDTH + 8.0),
            top + 13,
            escaped(&bar.note),
        );
    }
    out.push_str("</svg>");
    out
}

/// A line through points.
pub(super) struct Line<'p> {
    pub(super) name: &'p str,
    pub(super) class: &'p str,
    pub(super) points: Vec<(f64, f64)>,
    /// Whether the points are shown.
    pub(super) dots: bool,
}

/// Lines in the unit square.
pub(super) fn lines(lines: &[Line<'_>], x_name: &str, y_name: &str) -> String {
    const LEFT: f64 = 48.0;
    const TOP: f64 = 12.0;
    const SIDE: f64 = 320.0;
    let at = |(x, y): &(f64, f64)| {
        (number(LEFT + SIDE * x.clamp(0.0, 1.0)), number(TOP + SIDE * (1.0 - y.clamp(0.0, 1.0))))
    };
    let mut out = String::from("<svg viewBox=\"0 0 520 380\" class=\"curve\" role=\"img\">");
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let (x, y) = at(&(share, share));
        let (right, bottom) = at(&(1.0, 0.0));
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{x} {TOP}V{bottom}M{LEFT} {y}H{right}\"/>\
             <text x=\"{x}\" y=\"350\" text-anchor=\"middle\">{share}</text>\
             <text x=\"42\" y=\"{y}\" text-anchor=\"end\" dy=\"4\">{share}</text>",
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let mut path = String::new();
        for (index, point) in line.points.iter().enumerate() {
            let (x, y) = at(point);
            let _ = write!(path, "{}{x} {y}", if index == 0 { 'M' } else { 'L' });
            if line.dots {
                let _ = write!(out, "<circle class=\"{}\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>", line.class);
            }
        }
        let legend = 30 + 20 * index;
        let _ = write!(
            out,
            "<path class=\"line {}\" d=\"{path}\"/><path class=\"line {}\" d=\"M384 {legend}H404\"/>\
             <text x=\"410\" y=\"{}\">{}</text>",
            line.class,
            line.class,
            legend + 4,
            escaped(line.name),
        );
    }
    let _ = write!(
        out,
        "<text x=\"{}\" y=\"372\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(12 {}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg>",
        number(LEFT + SIDE / 2.0),
        escaped(x_name),
        number(TOP + SIDE / 2.0),
        escaped(y_name),
    );
    out
}
