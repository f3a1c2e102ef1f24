use proptest::prelude::*;

use super::*;

/// Source, medium, campaign and the group that is expected, a line each.
const CASES: &str = include_str!("../../../../tests/fixtures/enrich/channel_groups.tsv");

#[test]
fn every_case_of_the_table_has_its_group() {
    let lists = Lists::built_in();
    let mut groups = std::collections::HashSet::new();
    let mut cases = 0;
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [name, medium, campaign, expected] = cells[..] else {
            panic!("{line}");
        };
        let given = |text| Some(text).filter(|text| *text != "-");
        let source = Source {
            source: given(name),
            medium: given(medium),
            campaign: given(campaign),
        };
        let group = channel_group(source, &lists).name();
        assert_eq!(group, expected, "{line}");
        groups.insert(group);
        cases += 1;
    }
    assert!(cases >= 120, "{cases}");
    assert_eq!(groups.len(), 20, "every group has a case");
}

proptest! {
    #[test]
    fn every_source_has_a_group(name in "\\PC*", medium in "\\PC*", campaign in "\\PC*") {
        let source = Source { source: Some(&name), medium: Some(&medium), campaign: Some(&campaign) };
        let upper = [&name, &medium, &campaign].map(|text| text.to_ascii_uppercase());
        let shouted = Source { source: Some(&upper[0]), medium: Some(&upper[1]), campaign: Some(&upper[2]) };
        let lists = Lists::built_in();
        prop_assert_eq!(channel_group(source, &lists), channel_group(shouted, &lists));
    }
}
