//! How the demo speaks.

/// A new part of it.
pub fn chapter(title: &str) {
    println!("\n━━ {title} ━━");
}

/// One line of its own.
pub fn line(text: &str) {
    println!("   {text}");
}

/// A command, as one would type it.
pub fn command(program: &str, arguments: &[&str], file: &str) {
    println!("\n$ {program} {} -f {file}", arguments.join(" "));
}

/// What a program printed.
pub fn output(text: &str) {
    for printed in text.trim_end().lines() {
        println!("{printed}");
    }
}
