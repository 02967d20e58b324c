#![doc = "Host library of Myopia."]
