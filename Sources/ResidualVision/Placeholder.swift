import ResidualNN
