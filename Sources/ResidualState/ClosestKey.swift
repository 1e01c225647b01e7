/// The key most like `key` among `candidates`, nil where none is like it enough to be worth a question.
///
/// Likeness is Levenshtein's distance (V. I. Levenshtein, 1966) of at most a third of the longer key; among equals the
/// alphabetically first is taken.
package func closestKey(to key: String, among candidates: Set<String>) -> String? {
  let target = Array(key.utf8)
  var best: (distance: Int, key: String)?
  for candidate in candidates {
    let bytes = Array(candidate.utf8)
    let limit = max(target.count, bytes.count) / 3
    guard abs(target.count - bytes.count) <= limit else { continue }
    let distance = editDistance(target, bytes)
    guard distance <= limit else { continue }
    if let current = best, (current.distance, current.key) <= (distance, candidate) { continue }
    best = (distance, candidate)
  }
  return best?.key
}

/// The fewest insertions, deletions and replacements that turn `a` into `b`.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let replaced = diagonal + (x == y ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[b.count]
}
