/// Stops the program with a message when a programmer's promise is broken, in release builds too.
///
/// The standard library's function of this name says nothing in a release build, and this library is slow in any other.
/// It takes that one's place in every file of the package that sees this module.
@inlinable
package func precondition(
  _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID,
  line: UInt = #line
) {
  if !condition() { fatalError(message(), file: file, line: line) }
}

/// Stops the program with a message, in release builds too.
@inlinable
package func preconditionFailure(
  _ message: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) -> Never {
  fatalError(message(), file: file, line: line)
}
