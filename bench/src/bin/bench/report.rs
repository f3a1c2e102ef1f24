//! The table at the end: figure, floor's figure, ratio, bar.

/// One line of the table.
#[derive(Debug)]
struct Line {
    what: String,
    collector: String,
    floor: String,
    ratio: String,
    bar: String,
}

/// All figures of one run.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Line>);

impl Report {
    /// A figure of the collector, with its bar.
    pub(crate) fn figure(&mut self, what: &str, value: String, bar: &str) {
        self.add(what, value, String::new(), String::new(), bar);
    }

    /// A figure of both, with the ratio of the two and its bar.
    pub(crate) fn pair(&mut self, what: &str, values: (f64, f64), digits: usize, bar: &str) {
        let (collector, floor) = values;
        let ratio = format!("{:.2}", collector / floor);
        self.add(
            what,
            format!("{collector:.digits$}"),
            format!("{floor:.digits$}"),
            ratio,
            bar,
        );
    }

    /// Something that could not be measured, and why.
    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        self.add(
            what,
            format!("not measured: {why}"),
            String::new(),
            String::new(),
            "",
        );
    }

    fn add(&mut self, what: &str, collector: String, floor: String, ratio: String, bar: &str) {
        println!(
            "  {what}: {collector} {}",
            if floor.is_empty() {
                String::new()
            } else {
                format!("(floor {floor}, ratio {ratio})")
            }
        );
        self.0.push(Line {
            what: what.to_owned(),
            collector,
            floor,
            ratio,
            bar: bar.to_owned(),
        });
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        println!("\n| figure | collector | floor | ratio | bar |\n|---|---|---|---|---|");
        for line in &self.0 {
            println!(
                "| {} | {} | {} | {} | {} |",
                line.what, line.collector, line.floor, line.ratio, line.bar
            );
        }
    }
}

/// The middle value; of an even number of values the upper one of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
