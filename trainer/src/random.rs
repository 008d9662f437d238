//! Random choices that depend on nothing but what they are for.

/// SplitMix64, seeded from a list of numbers: the same numbers give the same choices, whoever makes them and when.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// The odd number nearest to 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// A generator of its own for each list.
    pub fn new(seeds: &[u64]) -> Self {
        Self(seeds.iter().fold(seeds.len() as u64, |state, &seed| mix(state.wrapping_add(STEP) ^ mix(seed))))
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias is at most n / 2^64.
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True in this share of all cases.
    pub fn chance(&mut self, share: f64) -> bool {
        self.bits() >> 11 < (share * 2f64.powi(53)) as u64
    }

    /// True half of the time.
    pub fn coin(&mut self) -> bool {
        self.bits() >> 63 == 1
    }

    /// The numbers below `n` in a random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// SplitMix64's output function: a bijection in which every bit depends on every other.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first outputs for the seed 1234567, as in Java's SplittableRandom and Vigna's C code.
        let mut random = Random(1_234_567);
        assert_eq!(
            [random.bits(), random.bits(), random.bits()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn every_number_of_the_list_counts() {
        let first = |seeds: &[u64]| Random::new(seeds).bits();
        let all = [&[][..], &[0], &[0, 0], &[1], &[0, 1], &[1, 0], &[1, 1], &[1 << 63]].map(first);
        for (i, a) in all.iter().enumerate() {
            assert!(!all[..i].contains(a), "{i}");
        }
        assert_eq!(first(&[3, 4]), first(&[3, 4]));
    }

    #[test]
    fn permutations_are_fair() {
        let mut counts = [[0; 4]; 4];
        for seed in 0..4000 {
            for (place, number) in Random::new(&[seed]).permutation(4).into_iter().enumerate() {
                counts[place][number] += 1;
            }
        }
        assert!(counts.iter().flatten().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert_eq!(Random::new(&[1]).permutation(0), [0; 0]);
    }
}
