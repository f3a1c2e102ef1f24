//! What was answered to each event, held against where it was found: exactly once, or a breach.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::Failure;
use crate::oracle::{self, Answer};

/// What became of the events of one run.
#[derive(Debug)]
pub struct Verdict {
    run: u64,
    /// By number: how often it was answered, at most 255.
    answered: Vec<u8>,
    accepted: Vec<bool>,
    /// By number: how often it was found, at most 255.
    found: Vec<u8>,
    /// By number: whether it was found among dead letters.
    dead: Vec<bool>,
    unknown: u64,
}

/// How many events there are of a kind, and some of them.
#[derive(Debug, Default)]
pub struct Some {
    /// How many.
    pub count: u64,
    such_as: Vec<u64>,
}

impl fmt::Display for Some {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)?;
        if self.count > 0 {
            write!(f, ", such as {:?}", self.such_as)?;
        }
        Ok(())
    }
}

impl Verdict {
    /// Of what was answered in the run with these digits, nothing being found yet.
    ///
    /// # Errors
    /// The answers cannot be read.
    pub fn new(run: u64, numbers: u64, oracle: &Path) -> Result<Self, Failure> {
        let count = usize::try_from(numbers)?;
        let mut this = Self {
            run,
            answered: vec![0; count],
            accepted: vec![false; count],
            found: vec![0; count],
            dead: vec![false; count],
            unknown: 0,
        };
        oracle::read(oracle, |number, answer| {
            let number = number as usize;
            this.answered[number] = this.answered[number].saturating_add(1);
            this.accepted[number] |= answer == Answer::Accepted as u8;
        })?;
        Ok(this)
    }

    fn number(&self, id: &str) -> Option<usize> {
        let (run, number) = id.split_once('_')?;
        let is_ours = run.parse() == Ok(self.run) && number.len() == 12;
        let number: usize = number.parse().ok().filter(|_| is_ours)?;
        self.answered
            .get(number)
            .filter(|answers| **answers > 0)
            .map(|_| number)
    }

    fn find(&mut self, id: &str) -> Option<usize> {
        let number = self.number(id);
        match number {
            Some(number) => self.found[number] = self.found[number].saturating_add(1),
            None => self.unknown += 1,
        }
        number
    }

    /// Adds the ids in a file, one a line.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add_ids(&mut self, file: &Path) -> Result<(), Failure> {
        for id in BufReader::new(File::open(file)?).lines() {
            self.find(&id?);
        }
        Ok(())
    }

    /// Adds the dead letters in a folder and those below.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn add_dead_letters(&mut self, folder: &Path) -> Result<(), Failure> {
        if !folder.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add_dead_letters(&path)?;
            } else if path
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                for line in BufReader::new(File::open(&path)?).lines() {
                    let letter: Value = serde_json::from_str(&line?)?;
                    // Other files of the folder hold no rows.
                    let Some(id) = letter["row"]["event_id"].as_str() else {
                        continue;
                    };
                    if let Some(number) = self.find(id) {
                        self.dead[number] = true;
                    }
                }
            }
        }
        Ok(())
    }

    fn those(&self, is_one: impl Fn(usize) -> bool) -> Some {
        let mut some = Some::default();
        for number in (0..self.answered.len()).filter(|number| is_one(*number)) {
            some.count += 1;
            if some.such_as.len() < 5 {
                some.such_as.push(number as u64);
            }
        }
        some
    }

    /// Events that were accepted.
    pub fn accepted(&self) -> u64 {
        self.those(|number| self.accepted[number]).count
    }

    /// Events that were sent and never accepted.
    pub fn owed(&self) -> Some {
        self.those(|number| self.answered[number] > 0 && !self.accepted[number])
    }

    /// Accepted events that were found nowhere.
    pub fn missing(&self) -> Some {
        self.those(|number| self.accepted[number] && self.found[number] == 0)
    }

    /// Events that were found more than once.
    pub fn doubled(&self) -> Some {
        self.those(|number| self.found[number] > 1)
    }

    /// Those of them that were sent only once, so that it was not the client who doubled them.
    pub fn doubled_by_collector(&self) -> Some {
        self.those(|number| self.found[number] > 1 && self.answered[number] == 1)
    }

    /// Events found among dead letters.
    pub fn dead(&self) -> Some {
        self.those(|number| self.dead[number])
    }

    /// Rows of events that were never sent.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Whether every accepted event was found exactly once and nothing else was.
    ///
    /// # Errors
    /// It was not.
    pub fn exactly_once(&self) -> Result<(), Failure> {
        let breaches =
            self.owed().count + self.missing().count + self.doubled().count + self.unknown;
        self.judge(breaches)
    }

    /// Whether every accepted event was found, only those twice that were sent again, and of others at most `ambiguous`.
    ///
    /// # Errors
    /// It was not.
    pub fn at_least_once(&self, ambiguous: u64) -> Result<(), Failure> {
        let doubled = self.doubled_by_collector();
        println!("doubled though sent once: {doubled}; rows written without a reply: {ambiguous}");
        let breaches = self.owed().count
            + self.missing().count
            + doubled.count.saturating_sub(ambiguous)
            + self.unknown;
        self.judge(breaches)
    }

    fn judge(&self, breaches: u64) -> Result<(), Failure> {
        println!(
            "verdict: {} accepted; missing: {}; doubled: {}; dead letters: {}; never sent: {}; never accepted: {}",
            self.accepted(),
            self.missing(),
            self.doubled(),
            self.dead().count,
            self.unknown,
            self.owed(),
        );
        match breaches {
            0 => Ok(()),
            _ => Err(format!("{breaches} breaches").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Oracle;

    const RUN: u64 = 1_000_000_000_007;

    /// A verdict on events `0..3`, accepted, of which the last was sent again, with these ids found.
    fn verdict(ids: &[&str]) -> Verdict {
        let folder = std::env::temp_dir().join(format!("verdict-{}", fastrand::u64(..)));
        fs::create_dir(&folder).unwrap();
        let (answers, found) = (folder.join("oracle"), folder.join("ids"));
        let mut oracle = Oracle::create(&answers).unwrap();
        oracle.record(2, Answer::Unknown).unwrap();
        for number in 0..3 {
            oracle.record(number, Answer::Accepted).unwrap();
        }
        oracle.flush().unwrap();
        fs::write(&found, ids.join("\n")).unwrap();
        let mut verdict = Verdict::new(RUN, 4, &answers).unwrap();
        verdict.add_ids(&found).unwrap();
        fs::remove_dir_all(folder).unwrap();
        verdict
    }

    fn id(number: u64) -> String {
        format!("{RUN}_{number:012}")
    }

    #[test]
    fn each_breach_is_found() {
        let ids = [id(0), id(1), id(2), id(3)];
        let [zero, one, two, never] = ids.each_ref().map(String::as_str);
        verdict(&[zero, one, two]).exactly_once().unwrap();
        verdict(&[zero, one, two, two]).at_least_once(0).unwrap();
        verdict(&[zero, zero, one, two]).at_least_once(1).unwrap();
        for breach in [
            &[zero, one][..],
            &[zero, one, two, two],
            &[zero, one, two, never],
            &[zero, one, two, "foreign"],
        ] {
            assert!(verdict(breach).exactly_once().is_err(), "{breach:?}");
        }
        assert!(verdict(&[zero, zero, one, two]).at_least_once(0).is_err());
        assert!(verdict(&[zero, two]).at_least_once(9).is_err());
    }

    #[test]
    fn dead_letters_count_as_found() {
        let folder = std::env::temp_dir().join(format!("verdict-{}", fastrand::u64(..)));
        fs::create_dir_all(folder.join("a")).unwrap();
        let line = format!(r#"{{"row":{{"event_id":"{}"}}}}"#, id(1));
        fs::write(folder.join("a/1.jsonl"), line + "\n").unwrap();
        let (zero, two) = (id(0), id(2));
        let mut verdict = verdict(&[&zero, &two]);
        assert_eq!(verdict.missing().count, 1);
        verdict.add_dead_letters(&folder).unwrap();
        fs::remove_dir_all(folder).unwrap();
        verdict.exactly_once().unwrap();
        assert_eq!(verdict.dead().count, 1);
    }
}
