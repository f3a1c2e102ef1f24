//! From HTTP to the durable log, without delivery: at saturation, at light load, on a slow disk.

use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::Pace;

use crate::report::median;
use crate::subject::{Subject, client, measure};
use crate::{Bench, LIGHT};

impl Bench {
    pub(crate) fn saturation(&mut self) -> Result<(), Failure> {
        let window = self.seconds(5, 3);
        let rounds = if self.is_quick { 2 } else { 5 };
        for connections in [64, 512] {
            let (mut cpu, mut rate, mut ratios) = ([vec![], vec![]], [vec![], vec![]], vec![]);
            let mut generator = Vec::new();
            let mut memory = 0;
            let mut threads = String::new();
            for round in 0..rounds {
                for turn in 0..2 {
                    // Who goes first alternates.
                    let is_floor = (turn + round) % 2 == 0;
                    if self.floor_only && !is_floor {
                        continue;
                    }
                    let subject = if is_floor {
                        Subject::floor(&self.paths, &[])?
                    } else {
                        Subject::collector(&self.paths, &Settings::log_only())?
                    };
                    let figures =
                        measure(&subject, &mut client(connections)?, Pace::Closed, window)?;
                    cpu[usize::from(is_floor)].push(figures.cpu_per_event);
                    rate[usize::from(is_floor)].push(figures.summary.per_second());
                    generator.push(figures.generator_per_event);
                    if !is_floor {
                        memory = memory.max(subject.child().memory()?.peak);
                        threads = subject.as_collector()?.threads()?;
                    }
                }
                if let ([.., collector], [.., floor]) = (&cpu[0][..], &cpu[1][..]) {
                    ratios.push(collector / floor);
                }
            }
            if connections == 64 {
                self.floor_cpu = median(&cpu[1]);
            }
            let report = &mut self.report;
            if self.floor_only {
                report.figure(
                    &format!("floor, {connections} connections: CPU, µs/event"),
                    format!("{:.1}", median(&cpu[1])),
                    "",
                );
                report.figure(
                    &format!("floor, {connections} connections: requests/s"),
                    format!("{:.0}", median(&rate[1])),
                    "",
                );
            } else {
                let bar = "≤ 1.8 (goal 1.6, stretch 1.4)";
                report.pair(
                    &format!("{connections} connections: CPU to the log, µs/event"),
                    (median(&cpu[0]), median(&cpu[1])),
                    1,
                    bar,
                );
                report.figure(
                    "… median of the rounds' ratios",
                    format!("{:.2}", median(&ratios)),
                    bar,
                );
                report.pair(
                    &format!("{connections} connections: requests/s"),
                    (median(&rate[0]), median(&rate[1])),
                    0,
                    "≥ 35,000",
                );
                report.figure("… memory at most, MiB", format!("{}", memory / 1024), "");
                report.figure("… threads of the last round", threads, "");
            }
            report.figure(
                "… generator's own CPU, µs/request",
                format!("{:.1}", median(&generator)),
                "",
            );
        }
        Ok(())
    }

    pub(crate) fn light(&mut self) -> Result<(), Failure> {
        let window = self.seconds(10, 4);
        let pace = Pace::Open(LIGHT);
        let floor = measure(
            &Subject::floor(&self.paths, &[])?,
            &mut client(64)?,
            pace,
            window,
        )?;
        if self.floor_only {
            let value = format!(
                "{:.1}, {:.0} / {:.0}",
                floor.cpu_per_event,
                floor.latency(0.5),
                floor.latency(0.99)
            );
            self.report
                .figure("floor, 3,000/s: CPU µs/event, p50 / p99 µs", value, "");
            return Ok(());
        }
        let subject = Subject::collector(&self.paths, &Settings::log_only())?;
        let collector = measure(&subject, &mut client(64)?, pace, window)?;
        drop(subject);
        let report = &mut self.report;
        report.pair(
            "3,000/s: CPU to the log, µs/event",
            (collector.cpu_per_event, floor.cpu_per_event),
            1,
            "≤ 2",
        );
        report.pair(
            "3,000/s: p50, µs",
            (collector.latency(0.5), floor.latency(0.5)),
            0,
            "",
        );
        let bar = format!("≤ {:.0} (5 ms + disk)", 5000.0 + self.disk_p99);
        report.pair(
            "3,000/s: p99, µs",
            (collector.latency(0.99), floor.latency(0.99)),
            0,
            &bar,
        );
        let subject = Subject::collector(&self.paths, &Settings::default())?;
        let delivering = measure(&subject, &mut client(64)?, pace, window)?;
        let value = format!(
            "{:.0} / {:.0}",
            delivering.latency(0.5),
            delivering.latency(0.99)
        );
        self.report
            .figure("3,000/s while delivering: p50 / p99, µs", value, &bar);
        Ok(())
    }

    pub(crate) fn slow_disk(&mut self) -> Result<(), Failure> {
        // -D: the tracer is a grandchild, so that the process we stop is the collector itself.
        let strace = "strace -D -qq -f --seccomp-bpf -o /dev/null -e trace=fdatasync -e inject=fdatasync:delay_enter=10000";
        let wrapper: Vec<String> = strace.split(' ').map(str::to_owned).collect();
        let window = self.seconds(10, 4);
        let mut rates = Vec::new();
        for wrapper in [Vec::new(), wrapper] {
            let is_slow = !wrapper.is_empty();
            let subject = Subject::collector(
                &self.paths,
                &Settings {
                    wrapper,
                    ..Settings::log_only()
                },
            )?;
            if is_slow {
                let light = measure(&subject, &mut client(256)?, Pace::Open(LIGHT), window)?;
                let value = format!(
                    "{:.1} / {:.1}",
                    light.latency(0.5) / 1000.0,
                    light.latency(0.99) / 1000.0
                );
                self.report.figure(
                    "10 ms in each fdatasync, 3,000/s: p50 / p99, ms",
                    value,
                    "p99 ≤ 35",
                );
                let offered = light.summary.per_second() / LIGHT * 100.0;
                self.report
                    .figure("… accepted, % of offered", format!("{offered:.0}"), "≥ 80");
            }
            // A commit holds at most as many events as there are connections: fewer would measure the client.
            rates.push(
                measure(&subject, &mut client(2048)?, Pace::Closed, window)?
                    .summary
                    .per_second(),
            );
        }
        let value = format!(
            "{:.0} of {:.0}/s ({:.0} %)",
            rates[1],
            rates[0],
            100.0 * rates[1] / rates[0]
        );
        self.report.figure(
            "… throughput at 2,048 connections, slow of fast",
            value,
            "≥ 80 %",
        );
        Ok(())
    }
}
