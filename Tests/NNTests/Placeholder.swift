import ResidualNN
import Testing
