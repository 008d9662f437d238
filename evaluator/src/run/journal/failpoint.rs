//! Where tests kill a run: `PLEACH_KILL_AT=N` ends the process by SIGKILL in the middle of writing record N, counted from 0, and `N+`
//! right after it. Only debug builds look.

use std::fs::File;

#[cfg(all(debug_assertions, unix))]
pub fn pass(file: &mut File, lines: &[u8], written: u64) {
    use std::io::Write;

    let Some(at) = std::env::var("PLEACH_KILL_AT").ok() else { return };
    let (number, whole) = at.strip_suffix('+').map_or((at.as_str(), false), |number| (number, true));
    let Some(index) = number.parse::<u64>().ok().and_then(|number| number.checked_sub(written)) else { return };
    let mut ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end + 1);
    let begin = if index == 0 { Some(0) } else { ends.nth(index as usize - 1) };
    let (Some(begin), Some(end)) = (begin, ends.next()) else { return };
    let until = if whole { end } else { usize::midpoint(begin, end) };
    // A test that cannot write sees that the process did not die where it should.
    let _ = file.write_all(&lines[..until]).and_then(|()| file.sync_data());
    // SAFETY: a signal to the process itself.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

#[cfg(not(all(debug_assertions, unix)))]
pub fn pass(_: &mut File, _: &[u8], _: u64) {}
