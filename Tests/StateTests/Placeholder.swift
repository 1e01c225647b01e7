import ResidualState
import Testing
