"""One file for each way to make an encoder smaller: model in, smaller model out."""
