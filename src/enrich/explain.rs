//! What enrichment saw of a request and which rule decided, step by step: told to whoever asks, free for everybody else.
//!
//! Steps describe themselves in closures that only an asked-for [`Explanation`] calls. It prints nothing and knows no
//! step by name.

use std::borrow::Cow;

use serde::Serialize;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The step, named as its module: `device`, `geo`.
    pub step: &'static str,
    /// What it looked at: header, parameter or setting, and its value; in the order of precedence.
    pub saw: Vec<(Cow<'static, str>, String)>,
    /// The rule that decided, in words.
    pub rule: Cow<'static, str>,
    /// The columns that it filled, by path, and their values.
    pub filled: Vec<(Cow<'static, str>, String)>,
}

impl Step {
    /// A step that has decided by a rule.
    pub fn new(step: &'static str, rule: impl Into<Cow<'static, str>>) -> Self {
        Self {
            step,
            saw: Vec::new(),
            rule: rule.into(),
            filled: Vec::new(),
        }
    }

    /// It looked at this, if it was there.
    #[must_use]
    pub fn saw(mut self, what: impl Into<Cow<'static, str>>, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.saw.push((what.into(), value.to_string()));
        }
        self
    }

    /// It filled this column, if it did.
    #[must_use]
    pub fn filled(
        mut self,
        column: impl Into<Cow<'static, str>>,
        value: Option<impl ToString>,
    ) -> Self {
        if let Some(value) = value {
            self.filled.push((column.into(), value.to_string()));
        }
        self
    }
}

/// The steps of one event, if somebody asked for them.
#[derive(Debug, Default)]
pub struct Explanation(Option<Vec<Step>>);

impl Explanation {
    /// One that nobody reads: it calls nothing and keeps nothing.
    pub const fn unasked() -> Self {
        Self(None)
    }

    /// One that keeps what it is told.
    pub const fn asked() -> Self {
        Self(Some(Vec::new()))
    }

    /// Is told of a step.
    #[inline]
    pub fn step(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.0 {
            steps.push(step());
        }
    }

    /// All steps, in their order.
    pub fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_did_not_ask_pays() {
        let mut unasked = Explanation::unasked();
        unasked.step(|| unreachable!("nobody asked"));
        assert_eq!(unasked.into_steps(), []);
    }

    #[test]
    fn steps_say_what_was_there_only() {
        let mut asked = Explanation::asked();
        asked.step(|| {
            Step::new("geo", "headers of the load balancer")
                .saw("X-Client-Geo-City", None::<&str>)
                .saw("X-Client-Geo-Country", Some("UA"))
                .filled("geo.country", Some("Ukraine"))
        });
        let steps = asked.into_steps();
        assert_eq!(steps.len(), 1);
        assert_eq!(
            steps[0].saw,
            [("X-Client-Geo-Country".into(), "UA".to_owned())]
        );
        assert_eq!(
            steps[0].filled,
            [("geo.country".into(), "Ukraine".to_owned())]
        );
    }
}
