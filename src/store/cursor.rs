//! Reads fixed and length-prefixed fields from untrusted bytes. Never panics, and never allocates by a claimed length.

/// The bytes end within a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnexpectedEnd;

/// The unread rest of the bytes.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], UnexpectedEnd> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(UnexpectedEnd)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UnexpectedEnd> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(UnexpectedEnd)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, UnexpectedEnd> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, UnexpectedEnd> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, UnexpectedEnd> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, UnexpectedEnd> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, UnexpectedEnd> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn count(&mut self) -> Result<usize, UnexpectedEnd> {
        usize::try_from(self.u32()?).map_err(|_| UnexpectedEnd)
    }
}
