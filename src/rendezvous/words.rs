//! The words of a secret that is made: short, things that one can see, and no
//! two that differ in one letter.

/// One for each value of a byte.
#[rustfmt::skip]
pub(super) const WORDS: [&str; 256] = [
    "acorn", "agate", "alder", "almond", "amber", "anchor", "antler", "anvil", "apple", "apron",
    "arrow", "ashes", "aspen", "atlas", "autumn", "badger", "bagel", "bamboo", "banjo", "barley",
    "barrel", "basil", "basket", "beacon", "beaver", "beetle", "bell", "bench", "birch",
    "biscuit", "blanket", "blossom", "bonnet", "bottle", "boulder", "bramble", "brass", "bread",
    "breeze", "brick", "bridge", "bronze", "brook", "bucket", "buckle", "button", "cabbage",
    "cabin", "cactus", "camel", "candle", "canoe", "canyon", "carrot", "castle", "cedar", "cello",
    "chalk", "cherry", "chimney", "cider", "circle", "clay", "cliff", "cloak", "clover", "coast",
    "cobalt", "coffee", "comet", "compass", "copper", "coral", "cotton", "cradle", "crane",
    "crater", "cricket", "crocus", "crown", "crystal", "curtain", "cypress", "daisy", "dawn",
    "desert", "dolphin", "donkey", "dragon", "drum", "dune", "eagle", "ebony", "echo", "elbow",
    "engine", "falcon", "feather", "fennel", "fern", "ferry", "fiddle", "field", "finch", "flame",
    "flint", "flute", "forest", "fossil", "fox", "frost", "furnace", "galaxy", "garden", "garlic",
    "garnet", "ginger", "glacier", "glove", "goblet", "granite", "grape", "gravel", "guitar",
    "hammer", "harbor", "harp", "harvest", "hazel", "hedge", "helmet", "heron", "hill", "honey",
    "hornet", "island", "ivory", "ivy", "jacket", "jaguar", "jasmine", "jigsaw", "juniper",
    "kettle", "kitten", "koala", "ladder", "lagoon", "lantern", "larch", "lemon", "lentil",
    "lily", "linen", "lion", "lizard", "lobster", "lotus", "magnet", "mango", "maple", "marble",
    "meadow", "melon", "mirror", "monsoon", "moss", "mountain", "mustard", "nectar", "needle",
    "nickel", "nutmeg", "oak", "oasis", "ocean", "olive", "onion", "opal", "orbit", "orchard",
    "oyster", "palace", "panther", "paper", "parcel", "pebble", "pelican", "pepper", "piano",
    "pickle", "pigeon", "pine", "planet", "plum", "pond", "poplar", "potter", "prairie", "prism",
    "pumpkin", "puzzle", "quartz", "quill", "rabbit", "radish", "rain", "raven", "ribbon",
    "river", "robin", "rocket", "rope", "rudder", "saddle", "saffron", "sail", "salmon",
    "sapphire", "scarf", "shadow", "shell", "shovel", "silver", "sparrow", "spider", "spoon",
    "spruce", "squirrel", "stable", "stone", "storm", "summit", "sunset", "swallow", "tailor",
    "teapot", "thistle", "thunder", "tiger", "timber", "tower", "trumpet", "tulip", "tunnel",
    "turnip", "turtle", "umbrella", "valley", "velvet", "violin", "walnut", "walrus", "willow",
    "winter", "zebra",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_easily_taken_for_another() {
        assert!(WORDS.is_sorted());
        for (at, one) in WORDS.iter().enumerate() {
            assert!((3..=8).contains(&one.len()) && one.chars().all(|c| c.is_ascii_lowercase()));
            for other in &WORDS[at + 1..] {
                let differ = one.chars().zip(other.chars()).filter(|(a, b)| a != b).count();
                assert!(one.len() != other.len() || differ > 1, "{one} and {other}");
            }
        }
    }
}
