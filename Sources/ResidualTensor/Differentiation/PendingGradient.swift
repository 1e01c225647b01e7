/// A leaf's gradient for tasks that are handed out aside (``Threads/runAside(_:_:)``), after those that may still be
/// computing it.
package struct PendingGradient {
  /// Its elements, in physical order.
  package let elements: Storage
  /// Where it is zero and has not been written.
  let unwritten: [Range<Int>]

  /// Where the elements of the range begin; zeros in it that are not there yet are written first.
  package func pointer(to range: Range<Int>) -> UnsafePointer<Float> {
    for zeros in unwritten {
      let part = zeros.clamped(to: range)
      (elements.pointer + part.lowerBound).update(repeating: 0, count: part.count)
    }
    return UnsafePointer(elements.pointer + range.lowerBound)
  }

  /// Whether all of the range is zero and has not been written.
  package func isUnwritten(_ range: Range<Int>) -> Bool {
    unwritten.contains { $0.clamped(to: range) == range }
  }
}
