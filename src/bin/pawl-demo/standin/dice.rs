//! Numbers that look thrown and are the same every time: a function of the seed, the model and the id.

/// splitmix64 (Steele, Lea and Flood, 2014): enough to make books that look alive.
pub struct Dice(u64);

impl Dice {
    /// Those of one record.
    pub fn of(seed: u64, model: u64, id: i64) -> Self {
        let mut dice = Self(seed ^ (model << 56));
        let salt = dice.next();
        Self(salt ^ id.cast_unsigned().wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// From 0 to one less than `bound`.
    pub fn below(&mut self, bound: i64) -> i64 {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        i64::try_from(self.next() % bound).unwrap_or(0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
